"""Keys and certificates of an authority of the test's own, at any time."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mesh.pki.bundle import Bundle
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from tests.agent.secured import FRONTEND

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Authority:
    """Signs at `NOW`."""

    def __init__(self, name: str) -> None:
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.key, self.name, x509.BasicConstraints(ca=True, path_length=None))
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def pair(self, days: float = 1) -> KeyPair:
        """A new key and certificate of the frontend."""
        key = new_key()
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(FRONTEND.uri)])
        made = self._signed(key, x509.Name([]), names, days)
        return KeyPair(key_pem(key), made.public_bytes(Encoding.PEM))

    def bundle(self, *others: "Authority", revoked: tuple[KeyPair, ...] = ()) -> Bundle:
        """Trust in this authority, which issues now, and others; with lists if something is revoked."""
        every = (self, *others)
        lists = b"".join(each.revoking(revoked) for each in every) if revoked else b""
        return Bundle(b"".join(each.pem for each in every), lists)

    def revoking(self, pairs: tuple[KeyPair, ...]) -> bytes:
        """Its list."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(NOW).next_update(NOW + timedelta(days=3650))
        for pair in pairs:
            entry = x509.RevokedCertificateBuilder().serial_number(pair.leaf.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(NOW).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _signed(
        self, key: object, subject: x509.Name, extension: x509.ExtensionType, days: float = 3650
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())  # type: ignore[attr-defined]
        builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=days))
        return builder.add_extension(extension, critical=True).sign(self.key, hashes.SHA256())
