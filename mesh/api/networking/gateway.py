"""Gateway: which ports and hosts a gateway serves.

Source: Istio's reference of networking.istio.io/v1 Gateway; every field is named as there.
"""

from typing import Literal

from mesh.api.base import Model, Port, host
from mesh.api.checks import check
from mesh.model import Protocol

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
    def _certificate(self) -> None:
        own = self.mode in {"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"}
        if own and not (
            self.credential_name or self.credential_names or (self.server_certificate and self.private_key)
        ):
            raise ValueError(f"mode {self.mode} needs credentialName, or serverCertificate and privateKey")


class Server(Model):
    """A port, the hosts that are served there, and TLS."""

    port: ServerPort
    bind: str | None = None
    hosts: tuple[str, ...]
    tls: ServerTLSSettings | None = None
    default_endpoint: str | None = None
    name: str = ""

    @check
    def _content(self) -> None:
        if not self.hosts:
            raise ValueError("hosts must name at least one host; '*' means all")
        for each in self.hosts:
            host(each.rpartition("/")[2])
        if self.port.speaks.is_tls and self.tls is None:
            raise ValueError(f"a server of protocol {self.port.protocol} needs tls")


class Gateway(Model):
    """Servers for the gateways whose Pods have the labels of `selector`."""

    selector: dict[str, str] = {}
    servers: tuple[Server, ...] = ()

    @check
    def _content(self) -> None:
        if not self.servers:
            raise ValueError("servers must have at least one server")
        names = [(server.port.number, server.port.name) for server in self.servers if server.port.name]
        for number, name in names:
            others = {n for n, other in names if other == name and n != number}
            if others:
                raise ValueError(
                    f"port name {name!r} is used for ports {sorted({number, *others})}; give each its own"
                )
