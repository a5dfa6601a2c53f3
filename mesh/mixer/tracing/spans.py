"""A span as Zipkin v2 has it, read from JSON.

Source: Zipkin's API (`zipkin2-api.yaml`): ids are lower hexadecimal, a trace's of 16 or 32 digits, a span's
of 16; times are microseconds since 1970; tags are texts.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

KINDS = frozenset({"CLIENT", "SERVER", "PRODUCER", "CONSUMER"})
LARGEST = 2**63 - 1
_TRACE_ID = re.compile(r"^[0-9a-f]{1,32}$")
_ID = re.compile(r"^[0-9a-f]{1,16}$")


class BadSpan(ValueError):
    """What was sent is no list of spans; says which span and field, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a call."""

    service: str = ""
    ip: str = ""
    port: int = 0

    def plain(self) -> dict[str, Any]:
        """As Zipkin's JSON."""
        family = "ipv6" if ":" in self.ip else "ipv4"
        found = {"serviceName": self.service, family: self.ip, "port": self.port}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Span:
    """A span. `timestamp` and `duration` are microseconds; 0 is not known."""

    trace_id: str
    id: str
    parent_id: str = ""
    kind: str = ""
    name: str = ""
    timestamp: int = 0
    duration: int = 0
    local: Endpoint = Endpoint()
    remote: Endpoint = Endpoint()
    tags: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[tuple[int, str], ...] = ()
    debug: bool = False
    shared: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from all others: a client and a server may share an id."""
        return self.trace_id, self.id, self.kind

    def tagged(self, tags: Mapping[str, str]) -> "Span":
        """The span with further tags."""
        return replace(self, tags={**self.tags, **tags}) if tags else self

    def plain(self) -> dict[str, Any]:
        """As Zipkin's JSON; what is not known is left out."""
        found = {
            "traceId": self.trace_id,
            "parentId": self.parent_id,
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "timestamp": self.timestamp,
            "duration": self.duration,
            "localEndpoint": self.local.plain(),
            "remoteEndpoint": self.remote.plain(),
            "annotations": [{"timestamp": at, "value": value} for at, value in self.annotations],
            "tags": dict(self.tags),
            "debug": self.debug,
            "shared": self.shared,
        }
        return {name: value for name, value in found.items() if value}


def read_spans(body: bytes | str) -> list[Span]:
    """The spans of a POST; raises `BadSpan`."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadSpan(f"not JSON: {error}; send a list of spans as Zipkin v2 has them") from None
    if not isinstance(given, list):
        raise BadSpan(f"is a {type(given).__name__}; send a list of spans as Zipkin v2 has them")
    return [_span(each, f"[{index}]") for index, each in enumerate(given)]


def trace_id(text: str) -> str:
    """A trace's id in its full length; raises `BadSpan`.

    >>> trace_id("ABC")
    '0000000000000abc'
    """
    lower = text.lower()
    if not _TRACE_ID.match(lower):
        raise BadSpan(f"{text[:64]!r} is no id of a trace; write 16 or 32 hexadecimal digits")
    return lower.rjust(16 if len(lower) <= 16 else 32, "0")


def _span(given: Any, where: str) -> Span:
    if not isinstance(given, dict):
        raise BadSpan(f"{where} is a {type(given).__name__}; write a span")
    kind = _text(given, "kind", where)
    if kind and kind not in KINDS:
        raise BadSpan(f"{where}.kind is {kind!r}; write one of {', '.join(sorted(KINDS))}")
    try:
        trace = trace_id(_text(given, "traceId", where))
    except BadSpan as error:
        raise BadSpan(f"{where}.traceId: {error}") from None
    return Span(
        trace,
        _id(given, "id", where),
        _id(given, "parentId", where) if given.get("parentId") else "",
        kind,
        _text(given, "name", where),
        _number(given, "timestamp", where),
        _number(given, "duration", where),
        _endpoint(given, "localEndpoint", where),
        _endpoint(given, "remoteEndpoint", where),
        _tags(given, where),
        _annotations(given, where),
        given.get("debug") is True,
        given.get("shared") is True,
    )


def _text(given: Mapping[str, Any], name: str, where: str) -> str:
    found = given.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise BadSpan(f"{where}.{name} is a {type(found).__name__}; write a text")
    return found


def _id(given: Mapping[str, Any], name: str, where: str) -> str:
    found = _text(given, name, where).lower()
    if not _ID.match(found):
        raise BadSpan(f"{where}.{name} is {found[:64]!r}; write 16 hexadecimal digits")
    return found.rjust(16, "0")


def _number(given: Mapping[str, Any], name: str, where: str) -> int:
    found = given.get(name) or 0
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= LARGEST:
        raise BadSpan(f"{where}.{name} is {found!r:.40}; write microseconds as a whole number")
    return found


def _endpoint(given: Mapping[str, Any], name: str, where: str) -> Endpoint:
    found = given.get(name)
    if found is None:
        return Endpoint()
    if not isinstance(found, dict):
        raise BadSpan(f"{where}.{name} is a {type(found).__name__}; write an endpoint")
    place = f"{where}.{name}"
    ip = _text(found, "ipv4", place) or _text(found, "ipv6", place)
    return Endpoint(_text(found, "serviceName", place), ip, _number(found, "port", place))


def _tags(given: Mapping[str, Any], where: str) -> Mapping[str, str]:
    found = given.get("tags") or {}
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise BadSpan(f"{where}.tags: write a mapping of texts")
    return found


def _annotations(given: Mapping[str, Any], where: str) -> tuple[tuple[int, str], ...]:
    found = given.get("annotations") or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadSpan(f"{where}.annotations: write a list of annotations")
    place = f"{where}.annotations"
    return tuple((_number(each, "timestamp", place), _text(each, "value", place)) for each in found)
