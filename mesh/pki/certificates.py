"""Reading certificates: whose they are, how long they last, whether a chain leads to a trusted root."""

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from mesh.pki.spiffe import Identity

LONGEST_CHAIN = 10


def load_chain(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM text, in its order; `ValueError` if there is none or one cannot be read."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise ValueError(f"no certificates can be read: {str(error).splitlines()[0][:200]}") from None


def chain_pem(chain: Sequence[x509.Certificate]) -> bytes:
    """Certificates as one PEM text."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)


def identity_of(certificate: x509.Certificate) -> Identity:
    """The SPIFFE identity that it carries: exactly one URI name. `ValueError` says what it has instead."""
    uris = uris_of(certificate)
    if len(uris) != 1:
        raise ValueError(f"a certificate of a workload has one URI name, this one has {len(uris)}")
    return Identity.parse(uris[0])


def uris_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """The URIs among its subject alternative names; `ValueError` if an extension cannot be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"its extensions cannot be read: {error}") from None
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def seconds_left(certificate: x509.Certificate, now: datetime) -> float:
    """Seconds until it expires; negative afterwards."""
    return (certificate.not_valid_after_utc - now).total_seconds()


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number as people and tools write it: hexadecimal, lower case, without separators."""
    return f"{certificate.serial_number:x}"


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may issue certificates (basic constraints)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def validity_problem(certificate: x509.Certificate, now: datetime) -> str | None:
    """Why it is not valid now, or None."""
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {_when(certificate.not_valid_before_utc)}; it is {_when(now)}"
    if now > certificate.not_valid_after_utc:
        return f"expired at {_when(certificate.not_valid_after_utc)}; it is {_when(now)}"
    return None


def chain_problem(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now: datetime
) -> str | None:
    """Why `chain` (leaf first, its issuers in any order) leads to none of `roots`, or None if it does.

    Each certificate on the way must be valid now, and each issuer an authority. Roots count by their key
    and name, as Envoy and OpenSSL do it.
    """
    if not chain:
        return "there is no certificate"
    current, rest = chain[0], list(chain[1:LONGEST_CHAIN])
    while True:
        problem = validity_problem(current, now)
        if problem:
            return f"the certificate {naming(current)} {problem}"
        anchor = next((root for root in roots if root == current or issued(current, root)), None)
        if anchor is not None:
            problem = validity_problem(anchor, now)
            return f"the root {naming(anchor)} {problem}" if problem else None
        above = next((each for each in rest if is_authority(each) and issued(current, each)), None)
        if above is None:
            issuer = _name(current.issuer)
            return f"the certificate {naming(current)} was issued by {issuer}, which is not trusted"
        rest.remove(above)
        current = above


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer`'s name and key signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def naming(certificate: x509.Certificate) -> str:
    """How messages name a certificate: its identity if it has one, or its subject, and its serial number."""
    try:
        return f"{identity_of(certificate)} (serial {serial_of(certificate)})"
    except ValueError:
        return f"{_name(certificate.subject)} (serial {serial_of(certificate)})"


def _name(name: x509.Name) -> str:
    return repr(name.rfc4514_string()) if list(name) else "a nameless subject"


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
