"""The keys of a set that Envoy can use. Envoy 1.40 refuses a listener altogether if no key of a set is good,
so what an issuer serves is looked at, and handed on without anything that nobody needs.

Sources: RFC 7517, RFC 7518; Envoy's `jwt_authn`.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

FIELDS = ("kty", "kid", "use", "alg", "crv", "n", "e", "x", "y", "k")
SMALLEST, LARGEST = 1024, 16384  # bits of an RSA modulus
LARGEST_EXPONENT = 2**33
CURVES = {"P-256": (32, "ES256"), "P-384": (48, "ES384"), "P-521": (66, "ES512")}
ED25519 = 32  # bytes


def cleaned(document: Any) -> str | None:
    """The usable keys of a set as compact JSON text; None if there are none, or it is no set.

    >>> cleaned({"keys": [{"kty": "oct", "k": "c2VjcmV0", "more": {}}, 7]})
    '{"keys":[{"k":"c2VjcmV0","kty":"oct"}]}'
    """
    every = document.get("keys") if isinstance(document, Mapping) else None
    kept = list(usable(every)) if isinstance(every, list) else []
    return json.dumps({"keys": kept}, separators=(",", ":"), sort_keys=True) if kept else None


def usable(every: list[Any]) -> Iterator[dict[str, str]]:
    """The keys that Envoy can use, with the fields that it knows."""
    for each in every:
        key = {name: each[name] for name in FIELDS if name in each} if isinstance(each, Mapping) else {}
        if all(is_text(value) for value in key.values()) and good(key):
            yield key


def is_text(value: Any) -> bool:
    """Whether it is a text of whole signs."""
    try:
        return isinstance(value, str) and bool(value.encode() or not value)
    except UnicodeEncodeError:
        return False


def good(key: Mapping[str, str]) -> bool:
    """Whether a key is what its type asks for."""
    judge = JUDGES.get(key.get("kty", ""))
    return judge is not None and judge(key)


def good_rsa(key: Mapping[str, str]) -> bool:
    """RSA: both numbers are odd, and of a size that is used."""
    modulus, exponent = (int.from_bytes(decoded(key.get(name, ""))) for name in ("n", "e"))
    fits = SMALLEST <= modulus.bit_length() <= LARGEST and modulus % 2 == 1
    return fits and 3 <= exponent < LARGEST_EXPONENT and exponent % 2 == 1 and named(key, ("RS", "PS"))


def good_ec(key: Mapping[str, str]) -> bool:
    """A point on one of the curves."""
    size, algorithm = CURVES.get(key.get("crv", ""), (0, ""))
    x, y = (decoded(key.get(name, "")) for name in ("x", "y"))
    there = len(x) == len(y) == size > 0
    return there and named(key, (algorithm,)) and on_curve(key["crv"], int.from_bytes(x), int.from_bytes(y))


def on_curve(name: str, x: int, y: int) -> bool:
    """Whether the curve has this point."""
    from cryptography.hazmat.primitives.asymmetric import ec

    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    try:
        ec.EllipticCurvePublicNumbers(x, y, curves[name]).public_key()
    except ValueError:
        return False
    return True


def good_okp(key: Mapping[str, str]) -> bool:
    """Ed25519."""
    fits = key.get("crv") == "Ed25519" and len(decoded(key.get("x", ""))) == ED25519
    return fits and named(key, ("EdDSA",))


def good_oct(key: Mapping[str, str]) -> bool:
    """A shared secret."""
    return bool(decoded(key.get("k", ""))) and named(key, ("HS",))


def named(key: Mapping[str, str], begins: tuple[str, ...]) -> bool:
    """Whether the algorithm, if it is named, is one of the key's type."""
    return "alg" not in key or key["alg"].startswith(begins)


def decoded(text: str) -> bytes:
    """Base64url without padding (RFC 7515); empty if it is none."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return b""


JUDGES: Mapping[str, Callable[[Mapping[str, str]], bool]] = {
    "RSA": good_rsa,
    "EC": good_ec,
    "OKP": good_okp,
    "oct": good_oct,
}
