"""Tokens that are really signed (RS256), and the sets of keys that go with them."""

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.pilot.authz.calls import Token

FUTURE = 4_000_000_000  # the year 2096
EXPIRED = 1_000_000_000


@cache
def key(number: int = 0) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(65537, 2048)


def coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwks(*numbers: int) -> str:
    """The public halves."""
    return json.dumps({"keys": [public(number) for number in numbers or (0,)]})


def public(number: int) -> dict[str, str]:
    numbers = key(number).public_key().public_numbers()
    parts = {"n": numbers.n, "e": numbers.e}
    values = {name: coded(n.to_bytes((n.bit_length() + 7) // 8, "big")) for name, n in parts.items()}
    return {"kty": "RSA", "alg": "RS256", "kid": f"key-{number}", **values}


@cache
def signed(claims: str, number: int, kid: str) -> str:
    head = coded(json.dumps({"alg": "RS256", "kid": kid, "typ": "JWT"}).encode())
    content = f"{head}.{coded(claims.encode())}"
    return f"{content}.{coded(key(number).sign(content.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def encoded(claims: Mapping[str, Any], *, number: int = 0, kid: str = "", expires: int = FUTURE) -> str:
    """A token as it goes over the wire."""
    return signed(json.dumps({"exp": expires, **claims}), number, kid or f"key-{number}")


def text(token: Token) -> str:
    """The token of a call, with its flaw."""
    match token.flaw:
        case "signature":
            return encoded(token.claims, number=9, kid="key-0")
        case "expired":
            return encoded(token.claims, expires=EXPIRED)
        case "issuer":
            return encoded({**token.claims, "iss": "https://elsewhere.example"})
    return encoded(token.claims)
