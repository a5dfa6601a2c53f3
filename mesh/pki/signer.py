"""Who turns a CSR into a certificate, as those see it who need one; and how it fails."""

from typing import Protocol

from mesh.pki.keypair import KeyPair


class SigningFailed(Exception):
    """There is no certificate. It may be asked for again."""


class SigningRefused(SigningFailed):
    """Citadel said no; the text is its reason. Asking again helps only after something was mended."""


class CitadelAway(SigningFailed):
    """Citadel could not be reached, or did not answer in time."""


class Signer(Protocol):
    """Signs certificates: over the network (`mesh.pki.client`), or in Citadel's own process."""

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None) -> bytes:
        """The PEM chain, leaf first, for a PEM request; raises `SigningFailed`.

        `seconds` is the life asked for; `present` proves the caller if it has a certificate already.
        """
        ...
