"""What the mesh trusts and what gateways show, as configuration carries it: PEM texts, not looked into."""

from dataclasses import dataclass, field
from hashlib import sha256

TRUST_NAME = "istio-trust"
"""Name of the ConfigMap, in the system namespace, that holds the trust bundle."""

ROOTCA = "ROOTCA"
"""The secret by which proxies and agents get the trust bundle over SDS."""

PROGRAMMED = "trust.istio.io/programmed"
"""Annotation of that ConfigMap: digest of the bundle that every proxy and agent has taken up."""


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The ConfigMap istio-trust: root certificates, the one that issues now first, and revocation lists.

    `denied` are the identities that get no certificate any more: nobody waits for their workloads.
    """

    root_cert: str
    crl: str = ""
    denied: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What names the roots and lists: SHA-256, hexadecimal."""
        return sha256(self.root_cert.encode() + b"\0" + self.crl.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Credential:
    """A Secret that a gateway may show or check by: key and certificate chain, roots, revocation list."""

    cert: str = ""
    key: str = field(default="", repr=False)
    ca_cert: str = ""
    crl: str = ""
