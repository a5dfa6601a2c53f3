"""The serving certificate of a webhook: made at installation, kept by later ones while it is good."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=365)
MARGIN = timedelta(days=30)  # what must be left for a certificate to be kept
SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ServingCertificate:
    """PEM texts: the certificate, its key, and the root that callers trust."""

    certificate: bytes
    key: bytes
    root: bytes

    @classmethod
    def make(cls, service: str, namespace: str, *, now: datetime | None = None) -> "ServingCertificate":
        """A new root and one certificate of it for `service.namespace.svc`; the root's key is thrown away."""
        now = now or datetime.now(UTC)
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root_name = named(f"{service} root")
        root = build(root_name, root_name, root_key.public_key(), now).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        names = [f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local"]
        leaf = build(root_name, named(names[0]), key.public_key(), now).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        return cls(
            certificate=pem(leaf.sign(root_key, hashes.SHA256())),
            key=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            root=pem(root.sign(root_key, hashes.SHA256())),
        )

    def good(self, *, now: datetime | None = None) -> bool:
        """Whether its parts belong together and it will be valid for another month."""
        try:
            leaf = x509.load_pem_x509_certificate(self.certificate)
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(self.root))
            key = serialization.load_pem_private_key(self.key, None)
        except (ValueError, TypeError, InvalidSignature):
            return False
        left = leaf.not_valid_after_utc - (now or datetime.now(UTC))
        return key.public_key() == leaf.public_key() and left > MARGIN


def named(text: str) -> x509.Name:
    """A name with only its common name, cut to the 64 characters that X.520 allows."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def build(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    """The parts that both certificates have."""
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
    )


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate's PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM)
