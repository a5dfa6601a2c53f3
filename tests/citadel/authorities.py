"""Authorities that an operator may bring: under a root of their own, and damaged in every way."""

from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from mesh.citadel.authority import Authority, usage
from mesh.pki.keys import Algorithm, Key, new_key

YEAR = timedelta(days=365)


def made(
    name: str,
    key: Key,
    *,
    by: tuple[x509.Certificate, Key] | None = None,
    now: datetime,
    ca: bool = True,
    length: int | None = None,
    bits: tuple[str, ...] | None = ("key_cert_sign", "crl_sign"),
    begins: timedelta = -YEAR,
    ends: timedelta = YEAR,
) -> x509.Certificate:
    """A certificate of an authority (or of something that is none)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = (by[0].subject, by[1]) if by else (subject, key)
    builder: Any = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=length if ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if bits is not None:
        builder = builder.add_extension(usage(*bits), critical=True)
    certificate: x509.Certificate = builder.sign(signing, hashes.SHA256())
    return certificate


def chained(
    now: datetime, *, algorithm: Algorithm = "ecdsa-p256", **changes: Any
) -> tuple[Authority, x509.Certificate]:
    """An authority under an intermediate under a root, and the root. `changes` are of its certificate."""
    root_key, middle_key, key = new_key(), new_key(), new_key(algorithm)
    root = made("operator root", root_key, now=now, ends=10 * YEAR)
    middle = made("operator middle", middle_key, by=(root, root_key), now=now, ends=5 * YEAR)
    certificate = made("operator mesh", key, by=(middle, middle_key), now=now, **changes)
    return Authority(certificate, key, (middle,), (root,)), root
