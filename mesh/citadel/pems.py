"""Authorities as the PEM texts of a Secret, and every check that one must pass before it is used.

A decision is a list of checks, each returning its reason; the error names the Secret's key that fails.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from mesh.citadel.authority import Authority
from mesh.citadel.errors import BadAuthority
from mesh.pki.certificates import chain_pem, chain_problem, is_authority, issued, load_chain, validity_problem
from mesh.pki.keys import key_pem, load_key

RSA_BITS = 2048
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Names:
    """The keys of a Secret that hold an authority."""

    cert: str
    key: str
    chain: str
    root: str


OPERATOR = Names("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")
"""Of `cacerts`, and of the authority in `istio-ca-secret` that issues now."""

NEXT = Names("next-cert.pem", "next-key.pem", "next-chain.pem", "next-root.pem")
OLD = Names("old-cert.pem", "old-key.pem", "old-chain.pem", "old-root.pem")


def written(authority: Authority, names: Names = OPERATOR) -> dict[str, bytes]:
    """An authority as PEM texts."""
    return {
        names.cert: chain_pem([authority.certificate]),
        names.key: key_pem(authority.key),
        names.chain: chain_pem([authority.certificate, *authority.above]),
        names.root: chain_pem(authority.roots),
    }


def read(data: Mapping[str, bytes], where: str, names: Names = OPERATOR) -> Authority:
    """Read one and check that it can issue; `BadAuthority` says which part cannot be used, and why.

    `where` names the Secret. The chain may begin with the certificate itself and end with the root; a
    certificate that signed itself needs no root beside it, as Istio keeps its own.
    """
    certificate = _first(data, names.cert, where)
    key = _checked(where, names.key, lambda: load_key(_text(data, names.key, where)))
    own = issued(certificate, certificate) and not data.get(names.root, b"").strip()
    roots = (certificate,) if own else tuple(_chain(data, names.root, where))
    given = _chain(data, names.chain, where) if data.get(names.chain, b"").strip() else []
    above = tuple(each for each in given if each != certificate and each not in roots)
    return Authority(certificate, key, above, _leading_first(certificate, above, roots))


def checked(authority: Authority, where: str, now: datetime, names: Names = OPERATOR) -> Authority:
    """The authority, if it may issue at that time; `BadAuthority` names the first check that fails."""
    for key, problem in problems(authority, now, names):
        raise BadAuthority(f"{where}, {key}: {problem}")
    return authority


def problems(authority: Authority, now: datetime, names: Names = OPERATOR) -> Iterator[tuple[str, str]]:
    """What is wrong with an authority: the Secret's key, and the reason."""
    certificate = authority.certificate
    if authority.key.public_key() != certificate.public_key():
        yield names.key, f"the private key does not belong to the certificate in {names.cert}"
    weak = _weak(authority)
    if weak:
        yield names.key, weak
    if not is_authority(certificate):
        yield names.cert, "the certificate is not one of an authority (basic constraints: CA must be TRUE)"
    if not _may_sign(certificate):
        yield names.cert, "the certificate may not sign others (key usage lacks keyCertSign)"
    validity = validity_problem(certificate, now)
    if validity:
        yield names.cert, f"the certificate {validity}"
    for root in authority.roots:
        validity = validity_problem(root, now)
        if validity:
            yield names.root, f"the root certificate {root.subject.rfc4514_string()!r} {validity}"
    broken = chain_problem([certificate, *authority.above], authority.roots, now)
    if broken:
        yield names.chain, f"the chain does not lead to a certificate of {names.root}: {broken}"
    yield from _lengths(authority, names)


def _lengths(authority: Authority, names: Names) -> Iterator[tuple[str, str]]:
    """Path lengths: how many authorities each certificate allows below itself, leaves not counted."""
    path = [(names.chain, each) for each in (authority.certificate, *authority.above)]
    if not authority.is_root:
        path.append((names.root, authority.roots[0]))
    for depth, (name, each) in enumerate(path):
        allowed = _path_length(each)
        if allowed is not None and allowed < depth:
            subject = each.subject.rfc4514_string()
            yield name, f"{subject!r} allows {allowed} authorities below it, but there are {depth}"


def _path_length(certificate: x509.Certificate) -> int | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    except x509.ExtensionNotFound:
        return None


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _weak(authority: Authority) -> str | None:
    key = authority.key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < RSA_BITS:
        return f"an RSA key of {key.key_size} bits is too weak; at least {RSA_BITS} are needed"
    return None


def _leading_first(
    certificate: x509.Certificate, above: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, ...]:
    """The roots, the one first that the chain leads to."""
    top = (certificate, *above)
    leading = [root for root in roots if any(each == root or issued(each, root) for each in top)]
    return (*leading[:1], *(root for root in roots if root not in leading[:1]))


def _first(data: Mapping[str, bytes], name: str, where: str) -> x509.Certificate:
    return _chain(data, name, where)[0]


def _chain(data: Mapping[str, bytes], name: str, where: str) -> list[x509.Certificate]:
    return _checked(where, name, lambda: load_chain(_text(data, name, where)))


def _checked(where: str, name: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise BadAuthority(f"{where}, {name}: {error}") from None


def _text(data: Mapping[str, bytes], name: str, where: str) -> bytes:
    text = data.get(name, b"")
    if not text.strip():
        raise BadAuthority(f"{where} has no key {name!r}; it needs {', '.join(_wanted(name))}")
    return text


def _wanted(name: str) -> tuple[str, ...]:
    names = next(
        each for each in (OPERATOR, NEXT, OLD) if name in (each.cert, each.key, each.chain, each.root)
    )
    return names.cert, names.key, names.root, f"{names.chain} (where there are intermediates)"
