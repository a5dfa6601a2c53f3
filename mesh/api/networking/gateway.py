"""Gateway: which ports and hosts a gateway serves.

Source: Istio's reference of networking.istio.io/v1 Gateway; every field is named as there.
"""

import re
from collections.abc import Iterator
from typing import Literal

from mesh.api.base import Model, Port, host
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.names import bad_file, bad_secret
from mesh.api.networking.reach import overlapping
from mesh.api.networking.workload import UNIX, is_ip
from mesh.api.selector import bad_labels
from mesh.model import Protocol

OWN = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})
"""Modes in which the gateway shows a certificate of its own."""

VERSIONS = ("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")
_SPKI = re.compile(r"^[A-Za-z0-9+/]{43}=\Z")
_HASH = re.compile(r"^([0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2}\Z|^[0-9a-fA-F]{64}\Z")
SERVED = ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS")


class ServerPort(Model):
    """A port of the gateway."""

    number: Port
    protocol: str
    name: str = ""
    target_port: Port | None = None

    @check
    def _protocol(self) -> None:
        if self.protocol.upper() not in SERVED:
            raise ValueError(f"protocol is {self.protocol!r}; use one of {', '.join(SERVED)}")

    @property
    def speaks(self) -> Protocol:
        """The protocol as the model has it."""
        return Protocol.parse(self.protocol) or Protocol.TCP


class TLSCertificate(Model):
    """A certificate with its key, as files of the proxy."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLSSettings(Model):
    """TLS of a server."""

    https_redirect: bool = False
    mode: Literal[
        "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"
    ] = "PASSTHROUGH"
    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    credential_name: str | None = None
    ca_cert_credential_name: str | None = None
    credential_names: tuple[str, ...] = ()
    tls_certificates: tuple[TLSCertificate, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    max_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()

    @check
    def _certificate(self) -> Iterator[Fault]:
        files = self.server_certificate and self.private_key
        named = self.credential_name or self.credential_names
        if self.mode in OWN and not (named or files or self.tls_certificates):
            yield Fault("", f"mode {self.mode} needs credentialName, or serverCertificate and privateKey")
        if self.mode in {"MUTUAL", "OPTIONAL_MUTUAL"} and not (named or self.ca_certificates):
            yield Fault("caCertificates", f"is missing, which mode {self.mode} with files needs")
        if named and (self.server_certificate or self.private_key):
            yield Fault("credentialName", "stands beside names of files", "use one way")
        if self.credential_name and self.credential_names:
            yield Fault("", "only one of credentialName, credentialNames may be set")

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_secret(self.credential_name, "credentialName")
        yield from bad_secret(self.ca_cert_credential_name, "caCertCredentialName")
        for index, each in enumerate(self.credential_names):
            yield from bad_secret(each, f"credentialNames[{index}]")
        yield from bad_file(self.server_certificate, "serverCertificate")
        yield from bad_file(self.private_key, "privateKey")
        yield from bad_file(self.ca_certificates, "caCertificates")

    @check
    def _versions(self) -> Iterator[Fault]:
        least, most = VERSIONS.index(self.min_protocol_version), VERSIONS.index(self.max_protocol_version)
        if least and most and least > most:
            yield Fault("minProtocolVersion", f"is above maxProtocolVersion {self.max_protocol_version}")

    @check
    def _pins(self) -> Iterator[Fault]:
        for index, each in enumerate(self.verify_certificate_spki):
            if not _SPKI.match(each):
                yield Fault(f"verifyCertificateSpki[{index}]", f"{each!r} is not a SHA-256 in base64")
        for index, each in enumerate(self.verify_certificate_hash):
            if not _HASH.match(each):
                yield Fault(f"verifyCertificateHash[{index}]", f"{each!r} is not a SHA-256 in hexadecimal")

    @advise
    def _without_effect(self) -> Iterator[Fault]:
        if self.mode not in OWN and (self.credential_name or self.server_certificate):
            message = f"has no meaning for mode {self.mode}"
            yield Fault(
                "credentialName" if self.credential_name else "serverCertificate", message, "leave it out"
            )
        if self.mode == "SIMPLE" and self.subject_alt_names:
            yield Fault("subjectAltNames", "has no meaning for mode SIMPLE, which asks for no certificate")


class Server(Model):
    """A port, the hosts that are served there, and TLS."""

    port: ServerPort
    bind: str | None = None
    hosts: tuple[str, ...]
    tls: ServerTLSSettings | None = None
    default_endpoint: str | None = None
    name: str = ""

    @check
    def _hosts(self) -> Iterator[Fault]:
        if not self.hosts:
            yield Fault("hosts", "must name at least one host; '*' means all")
        for index, each in enumerate(self.hosts):
            try:
                host(each.rpartition("/")[2])
            except ValueError as error:
                yield Fault(f"hosts[{index}]", str(error))

    @check
    def _tls(self) -> Iterator[Fault]:
        if self.port.speaks.is_tls and self.tls is None:
            yield Fault("", f"a server of protocol {self.port.protocol} needs tls")

    @check
    def _bind(self) -> Iterator[Fault]:
        if self.bind and not self.bind.startswith(UNIX) and not is_ip(self.bind):
            yield Fault("bind", f"{self.bind!r} is no IP address", "leave it out to listen on all")

    @advise
    def _plain(self) -> Iterator[Fault]:
        if self.tls and not self.port.speaks.is_tls and not self.tls.https_redirect:
            message = f"has no meaning for protocol {self.port.protocol}"
            yield Fault("tls", message, "write protocol HTTPS or TLS, or leave tls out")


class Gateway(Model):
    """Servers for the gateways whose Pods have the labels of `selector`."""

    selector: dict[str, str] = {}
    servers: tuple[Server, ...] = ()

    @check
    def _servers(self) -> Iterator[Fault]:
        if not self.servers:
            yield Fault("servers", "must have at least one server")

    @check
    def _ports(self) -> Iterator[Fault]:
        names = [(server.port.number, server.port.name) for server in self.servers if server.port.name]
        for index, (number, name) in enumerate(names):
            others = {n for n, other in names[:index] if other == name and n != number}
            if others:
                message = f"port name {name!r} is used for ports {sorted({number, *others})}"
                yield Fault(f"servers[{index}].port.name", message, "give each its own")

    @check
    def _selector(self) -> Iterator[Fault]:
        yield from bad_labels(self.selector, "selector")

    @advise
    def _overlapping(self) -> Iterator[Fault]:
        ports = {server.port.number for server in self.servers}
        for port in sorted(ports):
            yield from overlapping(
                (f"servers[{index}].hosts", each)
                for index, server in enumerate(self.servers)
                for each in server.hosts
                if server.port.number == port
            )
