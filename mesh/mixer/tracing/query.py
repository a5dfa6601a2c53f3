"""Which traces are asked for, and which service calls which.

Source: Zipkin's API (`/traces`, `/dependencies`): `annotationQuery` is `key`, `key=value`, several joined by
` and `; durations are microseconds, `endTs` and `lookback` milliseconds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.mixer.tracing.spans import Span

DAY = 86_400_000  # milliseconds
MOST = 1000
ALL = ("", "all")


class BadQuery(ValueError):
    """A parameter that is wrong; says which, and what to write."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query for traces; empty fields are for all."""

    service: str = ""
    remote: str = ""
    span: str = ""
    annotations: tuple[tuple[str, str | None], ...] = ()
    shortest: int = 0
    longest: int = 0
    first: int = 0
    last: int = 2**63
    limit: int = 10

    def fits(self, trace: list[Span]) -> bool:
        """Whether a trace is asked for: it began in the time, and its spans have what is looked for."""
        begun = next((each.timestamp for each in trace if each.timestamp), 0)
        if not self.first <= begun <= self.last:
            return False
        mine = [each for each in trace if self._of_service(each)]
        return any(self._suits(each) for each in mine) and all(
            any(has(each, *wanted) for each in mine) for wanted in self.annotations
        )

    def _of_service(self, span: Span) -> bool:
        return not self.service or span.local.service.lower() == self.service

    def _suits(self, span: Span) -> bool:
        named = self.span in {"", span.name.lower()} and self.remote in {"", span.remote.service.lower()}
        long = span.duration >= self.shortest
        return named and long and (not self.longest or span.duration <= self.longest)


def has(span: Span, key: str, value: str | None) -> bool:
    """Whether a span has a tag (with a value), or an annotation of that text."""
    if value is not None:
        return span.tags.get(key) == value
    return key in span.tags or any(key == each for _, each in span.annotations)


def read_query(params: Mapping[str, str], now: float) -> Query:
    """The query of a request; `now` in seconds; raises `BadQuery`."""
    end, lookback = time_of(params, now)
    return Query(
        service=wanted(params, "serviceName"),
        remote=wanted(params, "remoteServiceName"),
        span=wanted(params, "spanName"),
        annotations=annotations(params.get("annotationQuery", "")),
        shortest=number(params, "minDuration", 0),
        longest=number(params, "maxDuration", 0),
        first=(end - lookback) * 1000,
        last=end * 1000 + 999,
        limit=min(number(params, "limit", 10) or 10, MOST),
    )


def time_of(params: Mapping[str, str], now: float) -> tuple[int, int]:
    """The end of the time that is asked for, and its length (milliseconds)."""
    end = number(params, "endTs", int(now * 1000))
    return end, min(number(params, "lookback", DAY), end)


def wanted(params: Mapping[str, str], name: str) -> str:
    """A name that is looked for, in lower case as Zipkin has it; empty for any."""
    found = params.get(name, "").lower()
    return "" if found in ALL else found


def number(params: Mapping[str, str], name: str, otherwise: int) -> int:
    """A parameter that is a whole number."""
    text = params.get(name, "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise BadQuery(f"{name} is {text[:40]!r}; write a whole number")
    return int(text)


def annotations(text: str) -> tuple[tuple[str, str | None], ...]:
    """Tags that are looked for.

    >>> annotations("error and http.method=GET")
    (('error', None), ('http.method', 'GET'))
    """
    parts = [each.strip() for each in text.split(" and ") if each.strip()]
    pairs = (each.partition("=") for each in parts)
    return tuple((key.strip(), value.strip() if equals else None) for key, equals, value in pairs)


def dependencies(traces: Iterable[list[Span]]) -> list[dict[str, Any]]:
    """Who called whom, how often, and how often in vain."""
    calls: Counter[tuple[str, str]] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for trace in traces:
        for each, link in links(trace):
            calls[link] += 1
            errors[link] += "error" in each.tags
    return [
        {"parent": parent, "child": child, "callCount": count, "errorCount": errors[parent, child]}
        for (parent, child), count in sorted(calls.items())
    ]


def links(trace: list[Span]) -> Iterable[tuple[Span, tuple[str, str]]]:
    """The calls of a trace, each by the one span that tells it best: the server's, else the client's, if it
    knows whom it called.
    """
    by_id = {each.id: each for each in trace if each.kind != "SERVER"}
    by_id.update({each.id: each for each in trace if each.kind == "SERVER" and each.id not in by_id})
    answered = {each.parent_id for each in trace if each.kind == "SERVER"}
    answered |= {each.id for each in trace if each.kind == "SERVER" and each.shared}
    for each in trace:
        parent, child = "", each.local.service
        if each.kind == "SERVER":
            caller = by_id.get(each.parent_id)
            parent = caller.local.service if caller else each.remote.service
        elif each.kind == "CLIENT" and each.id not in answered:
            parent, child = each.local.service, each.remote.service
        if parent and child:
            yield each, (parent, child)
