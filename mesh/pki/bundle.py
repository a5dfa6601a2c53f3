"""What is trusted, and what no longer is: root certificates and revocation lists, as PEM texts."""

from dataclasses import dataclass
from functools import cached_property

from cryptography import x509

from mesh.pki.certificates import load_chain, serial_of

END = b"-----END X509 CRL-----"


@dataclass(frozen=True)
class Bundle:
    """Root certificates (the one that issues now first), and the revocation lists of all that sign."""

    roots: bytes
    crl: bytes = b""

    @cached_property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The roots; `ValueError` if they cannot be read."""
        return tuple(load_chain(self.roots))

    @cached_property
    def revocations(self) -> "Revocations":
        """The revocation lists, ready to be asked; `ValueError` if they cannot be read."""
        return Revocations(self.crl)


class Revocations:
    """Answers whether a certificate was revoked, by its issuer's name and its serial number."""

    def __init__(self, crl_pem: bytes) -> None:
        self._reasons = {
            (crl.issuer.public_bytes(), entry.serial_number): _reason(entry)
            for crl in load_lists(crl_pem)
            for entry in crl
        }

    def __len__(self) -> int:
        return len(self._reasons)

    def __repr__(self) -> str:
        return f"<Revocations of {len(self)} certificates>"

    def reason(self, certificate: x509.Certificate) -> str | None:
        """Why it is not to be trusted any more (such as `revoked (keyCompromise)`), or None."""
        found = self._reasons.get((certificate.issuer.public_bytes(), certificate.serial_number))
        return None if found is None else f"serial {serial_of(certificate)} was revoked ({found})"


def load_lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a PEM text, none if it is empty; `ValueError` if one cannot be read."""
    blocks = [part + END for part in pem.split(END)[:-1]]
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        return "unspecified"
