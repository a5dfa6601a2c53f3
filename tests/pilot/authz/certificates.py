"""An authority for tests, and certificates of SPIFFE identities that Envoy and callers really show."""

import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC)
ROOT_NAME = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "root of tests")])


@cache
def root_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def builder(public: ec.EllipticCurvePublicKey, subject: x509.Name) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ROOT_NAME)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
    )


@cache
def root() -> bytes:
    """The authority's certificate (PEM)."""
    made = builder(root_key().public_key(), ROOT_NAME).add_extension(x509.BasicConstraints(True, None), True)
    return made.sign(root_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@cache
def pair(identity: str) -> tuple[bytes, bytes]:
    """Key and certificate (PEM) of an identity, given without its scheme."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{identity}")])
    certificate = (
        builder(key.public_key(), x509.Name([])).add_extension(names, True).sign(root_key(), hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
