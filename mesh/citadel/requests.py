"""What a CSR asks for, and whether it may be granted: pure checks, each with its reason.

A CSR comes from whoever can open a connection: nothing in it may crash or delay Citadel.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mesh.citadel.authority import PublicKey, Subject
from mesh.citadel.errors import Refused

LARGEST = 16_384  # bytes of a PEM request; one for RSA 8192 has 3,000
RSA_BITS = (2048, 8192)  # weaker ones can be broken, larger ones only cost time
CURVES = (ec.SECP256R1, ec.SECP384R1)  # what Envoy serves

_Unreadable = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Request:
    """A CSR that was read: its key, and the names that it asks for by kind."""

    csr: x509.CertificateSigningRequest
    key: PublicKey
    uris: tuple[str, ...]
    dns_names: tuple[str, ...]
    others: tuple[str, ...]
    wants_authority: bool


def parse(pem: bytes) -> Request:
    """Read a PEM request; raises `Refused` with what cannot be read or is not supported."""
    if len(pem) > LARGEST:
        raise _malformed(f"it has {len(pem)} bytes; at most {LARGEST} are read")
    try:
        csr = x509.load_pem_x509_csr(pem)
        key, extensions = csr.public_key(), csr.extensions
    except _Unreadable as error:
        raise _malformed((str(error) or type(error).__name__).splitlines()[0][:200]) from None
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise _weak(f"keys of the kind {type(key).__name__.lstrip('_')} are not supported; use ECDSA or RSA")
    names = next((e.value for e in extensions if isinstance(e.value, x509.SubjectAlternativeName)), ())
    constraints = next((e.value for e in extensions if isinstance(e.value, x509.BasicConstraints)), None)
    return Request(
        csr, key,
        tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)),
        tuple(name.value for name in names if isinstance(name, x509.DNSName)),
        tuple(
            type(name).__name__
            for name in names
            if not isinstance(name, x509.UniformResourceIdentifier | x509.DNSName)
        ),
        constraints is not None and constraints.ca,
    )  # fmt: skip


def check(request: Request, subject: Subject) -> None:
    """Raise `Refused` unless `subject` may have what the request asks for."""
    for rule in RULES:
        refusal = rule(request, subject)
        if refusal is not None:
            raise refusal


def strong_key(request: Request, _: Subject) -> Refused | None:
    """RSA of a fair size, or one of the usual curves."""
    key = request.key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS[0]:
            return _weak(f"an RSA key of {key.key_size} bits is too weak; at least {RSA_BITS[0]} are needed")
        if key.key_size > RSA_BITS[1]:
            return _weak(f"an RSA key of {key.key_size} bits is too large; at most {RSA_BITS[1]} are taken")
    elif not isinstance(key.curve, CURVES):
        known = ", ".join(curve.name for curve in CURVES)
        return _weak(f"the curve {key.curve.name} is not supported; use one of {known}")
    return None


def good_signature(request: Request, _: Subject) -> Refused | None:
    """The request was signed by the key that it carries, so its sender holds that key."""
    try:
        good = request.csr.is_signature_valid
    except _Unreadable:
        good = False
    return None if good else Refused(
        "bad_signature", "INVALID_ARGUMENT", "the CSR's signature was not made by its own key"
    )  # fmt: skip


def own_identity(request: Request, subject: Subject) -> Refused | None:
    """It asks for the caller's identity and no other; one without names means the caller's."""
    foreign = [uri for uri in request.uris if uri != subject.identity.uri]
    if not foreign:
        return None
    return _foreign(f"{subject.identity} asks for the identity {foreign[0][:300]!r}")


def own_names(request: Request, subject: Subject) -> Refused | None:
    """It asks for no DNS name beyond the caller's Services, and for no address or other name."""
    foreign: Collection[str] = [name for name in request.dns_names if name not in subject.dns_names]
    foreign = [*foreign, *request.others]
    if not foreign:
        return None
    allowed = ", ".join(subject.dns_names) or "none"
    return _foreign(f"{subject.identity} asks for the name {foreign[0][:300]!r}; it may have: {allowed}")


def no_authority(request: Request, subject: Subject) -> Refused | None:
    """It does not ask to become an authority."""
    return (
        _foreign(f"{subject.identity} asks for a certificate of an authority")
        if request.wants_authority
        else None
    )


RULES: tuple[Callable[[Request, Subject], Refused | None], ...] = (
    strong_key,
    good_signature,
    own_identity,
    own_names,
    no_authority,
)


def _malformed(why: str) -> Refused:
    return Refused("malformed", "INVALID_ARGUMENT", f"the CSR cannot be read: {why}")


def _weak(why: str) -> Refused:
    return Refused("weak_key", "INVALID_ARGUMENT", f"the CSR's key is refused: {why}")


def _foreign(why: str) -> Refused:
    return Refused("foreign_identity", "PERMISSION_DENIED", why)
