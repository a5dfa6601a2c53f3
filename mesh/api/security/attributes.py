"""The values that keys of an AuthorizationPolicy take.

Source: Istio's references of AuthorizationPolicy and of its conditions.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping

from mesh.api.base import LARGEST_PORT
from mesh.api.checks import Fault
from mesh.api.security.templates import bad_template, is_template

PLAIN_KEYS = (
    "source.ip", "remote.ip", "source.namespace", "source.principal", "source.serviceAccount",
    "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "destination.ip",
    "destination.port", "connection.sni",
)  # fmt: skip
"""Keys of `when` without a name in brackets."""

_NAMED = re.compile(r"^(request\.headers(\[[^\[\]]+\])|request\.auth\.claims(\[[^\[\]]+\])+)\Z")
_EXPERIMENTAL = re.compile(r"^experimental\.envoy\.filters\.[a-zA-Z0-9_.]+(\[[^\[\]]+\])+\Z")


def block(value: str) -> str:
    """Why a value is not an address or a range of addresses; "" if it is."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"{value!r} is neither an IP address nor a range like 10.0.0.0/8"
    return ""


def port(value: str) -> str:
    """Why a value is not a port; "" if it is."""
    good = value.isdecimal() and value.isascii() and 0 < int(value[:6]) <= LARGEST_PORT
    return "" if good else f"{value!r} is not a port number (1-65535)"


def account(value: str) -> str:
    """Why a value is not a service account; "" if it is."""
    parts = value.split("/")
    if len(parts) > 2 or not all(parts) or "*" in value:
        return f"{value!r} is not a service account: NAME or NAMESPACE/NAME, without wildcards"
    return ""


def path(value: str) -> str:
    """Why a value is not a path, or not a template of one; "" if it is."""
    if is_template(value):
        return bad_template(value)
    if "{" in value or "}" in value:
        return f"{value!r} has braces; a template has only {{*}} and {{**}}, each a whole segment"
    return ""


def anything(value: str) -> str:
    """Every text is a value."""
    return ""


BY_FIELD: Mapping[str, Callable[[str], str]] = {
    "ip_blocks": block,
    "remote_ip_blocks": block,
    "ports": port,
    "service_accounts": account,
    "paths": path,
}
BY_KEY: Mapping[str, Callable[[str], str]] = {
    "source.ip": block,
    "remote.ip": block,
    "destination.ip": block,
    "destination.port": port,
    "source.serviceAccount": account,
}


def bad_values(field: str, values: tuple[str, ...], place: str) -> Iterator[Fault]:
    """What is wrong with the values of a field, `field` its attribute, `place` its name for people."""
    judge = BY_FIELD.get(field.removeprefix("not_"), anything)
    for index, value in enumerate(values):
        reason = "is empty" if not value else judge(value)
        if reason:
            yield Fault(f"{place}[{index}]", reason, "write '*' for any value" if not value else "")


def bad_condition(key: str, lists: Mapping[str, tuple[str, ...]]) -> Iterator[Fault]:
    """What is wrong with a condition of `when`."""
    if not known(key):
        message = f"{key!r} is not an attribute"
        remedy = f"use {', '.join(PLAIN_KEYS)}, request.headers[NAME] or request.auth.claims[NAME]"
        yield Fault("key", message, remedy)
    if not any(lists.values()):
        yield Fault("", "has neither values nor notValues", "write at least one")
    judge = BY_KEY.get(key, anything)
    for place, values in lists.items():
        for index, value in enumerate(values):
            reason = "is empty" if not value else judge(value)
            if reason:
                yield Fault(f"{place}[{index}]", reason)


def known(key: str) -> bool:
    """Whether there is such an attribute."""
    return key in PLAIN_KEYS or bool(_NAMED.match(key) or _EXPERIMENTAL.match(key))


def doubtful_values(field: str, values: tuple[str, ...], place: str) -> Iterator[Fault]:
    """Which values probably do not say what was meant."""
    for index, value in enumerate(values):
        found = doubt(field.removeprefix("not_"), value)
        if found:
            yield Fault(f"{place}[{index}]", *found)


def doubt(field: str, value: str) -> tuple[str, str] | None:
    """Message and remedy for a doubtful value."""
    if field == "principals" and value.startswith("spiffe://"):
        return f"{value!r} never matches", f"write it without spiffe://: {value.removeprefix('spiffe://')}"
    if field == "principals" and "*" not in value and not re.match(r"^[^/]+/ns/[^/]+/sa/[^/]+\Z", value):
        return f"{value!r} is not TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT", "write the whole identity"
    if field == "methods" and value != value.upper() and "*" not in value:
        return f"{value!r} never matches: methods are compared as they are", f"write {value.upper()}"
    if "*" in value[1:-1] and field not in {"ip_blocks", "remote_ip_blocks", "ports"} and "{" not in value:
        return f"{value!r} has '*' in the middle, where it means itself", "use it first or last only"
    return None
