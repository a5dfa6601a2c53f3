"""TLS towards a destination.

Source: Istio's reference of networking.istio.io/v1 DestinationRule; every field is named as there.
"""

from collections.abc import Iterator
from typing import Literal

from mesh.api.base import Model
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.names import bad_file, bad_secret


class ClientTLSSettings(Model):
    """TLS towards the destination."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    credential_name: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    sni: str | None = None
    insecure_skip_verify: bool | None = None

    @check
    def _content(self) -> Iterator[Fault]:
        own = self.client_certificate and self.private_key
        if self.mode == "MUTUAL" and not (self.credential_name or own):
            yield Fault("", "mode MUTUAL needs clientCertificate and privateKey, or credentialName")
        if self.mode == "ISTIO_MUTUAL" and (
            self.credential_name or self.client_certificate or self.private_key
        ):
            yield Fault("", "mode ISTIO_MUTUAL takes the proxy's own certificate", "name no other")
        if self.credential_name and (self.client_certificate or self.private_key or self.ca_certificates):
            yield Fault("credentialName", "stands beside names of files", "use one way")

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_secret(self.credential_name, "credentialName")
        yield from bad_file(self.client_certificate, "clientCertificate")
        yield from bad_file(self.private_key, "privateKey")
        yield from bad_file(self.ca_certificates, "caCertificates")

    @advise
    def _unverified(self) -> Iterator[Fault]:
        if self.mode in {"SIMPLE", "MUTUAL"} and not (self.ca_certificates or self.credential_name):
            message = "the server's certificate is not verified"
            if not self.insecure_skip_verify:
                remedy = "set caCertificates or credentialName; insecureSkipVerify says that it is meant"
                yield Fault("", message, remedy)
