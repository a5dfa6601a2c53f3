"""Functions and methods: their types and what they do; and when two values of a type are the same.

Source: Istio 1.6, "Expression Language", and what its functions did: `match`, `matches` (found anywhere,
RE2), lengths in bytes, equality of names and addresses whatever their spelling. `reverse` came with its CEL
mode.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from mesh.rules.expressions.errors import EvaluationError
from mesh.rules.types import ValueType as V

_DNS = re.compile(r"(?:\*\.)?\w(?:[-\w]*\w)?(?:\.\w(?:[-\w]*\w)?)*\.?")
_EMAIL = re.compile(r"[^@\s<>]+@([^@\s<>]+)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[-+]\d\d:\d\d)", re.ASCII)
_LABEL, _NAME = 63, 253
_MAPPED = bytes(10) + b"\xff\xff"


def match(text: str, pattern: str) -> bool:
    """Equal, or `prefix*`, or `*suffix`."""
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text.endswith(pattern[1:]) if pattern.startswith("*") else text == pattern


@lru_cache(maxsize=1024)
def regex(pattern: str) -> Any:
    """RE2, so that no pattern takes long; `EvaluationError` if it is none."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # three times as fast
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise EvaluationError(f"{pattern[:80]!r} is not a regular expression of RE2: {reason}") from None


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text."""
    return found_in(regex(pattern), text)


def found_in(pattern: Any, text: str) -> bool:
    """Whether a compiled pattern is found in the text; as bytes, because RE2's wrapper is slow with texts."""
    return pattern.search(text.encode(errors="surrogatepass")) is not None


def ip(text: str) -> bytes:
    """An address: 4 bytes, or 16; an IPv4 address that is mapped into IPv6 is IPv4."""
    try:
        return plain_ip(ipaddress.ip_address(text).packed)
    except ValueError:
        raise EvaluationError(f"{text[:80]!r} is not an IP address") from None


def plain_ip(address: bytes) -> bytes:
    """An address in its shortest form."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


def timestamp(text: str) -> datetime:
    """A time of RFC 3339, to the microsecond."""
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    raise EvaluationError(f"{text[:80]!r} is not a time of RFC 3339, like 2006-01-02T15:04:05Z")


def dns_name(text: str) -> str:
    """A DNS name, as it was written."""
    labels = text.removesuffix(".").split(".")
    if not _DNS.fullmatch(text) or len(text) > _NAME or any(len(each) > _LABEL for each in labels):
        raise EvaluationError(f"{text[:80]!r} is not a DNS name")
    return text


def email(text: str) -> str:
    """An address of mail without a display name, as it was written."""
    found = _EMAIL.fullmatch(text)
    if not found:
        raise EvaluationError(f"{text[:80]!r} is not an e-mail address")
    dns_name(found[1])
    return text


def uri(text: str) -> str:
    """A URI, as it was written."""
    try:
        if text and not any(each.isspace() for each in text):
            urlsplit(text)
            return text
    except ValueError:
        pass
    raise EvaluationError(f"{text[:80]!r} is not a URI")


def same_dns(text: str) -> str:
    """What names have in common that are the same: neither case nor a final dot matters."""
    return text.lower().removesuffix(".")


def same_email(text: str) -> str:
    """What addresses have in common that are the same: of the domain, case does not matter."""
    local, _, domain = text.rpartition("@")
    return f"{local}@{same_dns(domain)}"


def same_uri(text: str) -> str:
    """What URIs have in common that are the same: case of scheme and of http's host does not matter."""
    parts = urlsplit(text)
    if parts.scheme in ("http", "https"):
        user, at, place = parts.netloc.rpartition("@")
        name, colon, port = place.partition(":")
        parts = parts._replace(netloc=f"{user}{at}{same_dns(name)}{colon}{port}")
    return parts.geturl()


SAME: Mapping[V, Callable[[Any], Any]] = {
    V.IP_ADDRESS: plain_ip,
    V.DNS_NAME: same_dns,
    V.EMAIL_ADDRESS: same_email,
    V.URI: same_uri,
}
"""For types whose equal values may be written differently: what equal ones have in common."""


def size(text: str) -> int:
    """Length in bytes of UTF-8, as Go counts."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def wrapped(number: int) -> int:
    """A sum in 64 bits, which overflows as Go's does."""
    return (number + 2**63) % 2**64 - 2**63


@dataclass(frozen=True, slots=True)
class Function:
    """What it takes, gives and does; a method's target is its first argument."""

    takes: tuple[V, ...]
    gives: V
    does: Callable[..., Any]
    method: bool = False


FUNCTIONS: Mapping[str, Function] = {
    "match": Function((V.STRING, V.STRING), V.BOOL, match),
    "matches": Function((V.STRING, V.STRING), V.BOOL, matches, method=True),
    "startsWith": Function((V.STRING, V.STRING), V.BOOL, str.startswith, method=True),
    "endsWith": Function((V.STRING, V.STRING), V.BOOL, str.endswith, method=True),
    "ip": Function((V.STRING,), V.IP_ADDRESS, ip),
    "timestamp": Function((V.STRING,), V.TIMESTAMP, timestamp),
    "dnsName": Function((V.STRING,), V.DNS_NAME, dns_name),
    "email": Function((V.STRING,), V.EMAIL_ADDRESS, email),
    "uri": Function((V.STRING,), V.URI, uri),
    "toLower": Function((V.STRING,), V.STRING, str.lower),
    "size": Function((V.STRING,), V.INT64, size),
    "reverse": Function((V.STRING,), V.STRING, lambda text: text[::-1]),
    "emptyStringMap": Function((), V.STRING_MAP, dict),
    "conditionalString": Function(
        (V.BOOL, V.STRING, V.STRING), V.STRING, lambda test, yes, no: yes if test else no
    ),
}
"""All but `conditional`, which takes any type."""
