"""The last spans, in memory, for queries: bounded by their number, whole traces go first that came first.

A span that comes twice is kept once: who exports may send again what was taken already.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from mesh.mixer.tracing.query import Query
from mesh.mixer.tracing.spans import Span

MOST = 20_000
"""Spans that are kept unless somebody says otherwise."""

MOST_OF_ONE = 2_000
"""Spans of one trace that are kept: a caller that never begins a new one must not push out all others."""


class SpanStore:
    """Spans by trace, oldest trace first."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self.most = most
        self.most_of_one = most_of_one
        self.taken = 0
        self.repeated = 0
        self.forgotten = 0
        self._count = 0
        self._traces: OrderedDict[str, dict[tuple[str, str, str], Span]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<SpanStore: {self._count} of at most {self.most} spans, {len(self._traces)} traces>"

    def __len__(self) -> int:
        return self._count

    def has(self, span: Span) -> bool:
        """Whether a span is kept already; if so, it is counted as repeated."""
        kept = span.key in self._traces.get(span.trace_id, ())
        self.repeated += kept
        return kept

    def put(self, span: Span) -> None:
        """Keep a span, and forget the oldest traces if there are too many."""
        trace = self._traces.setdefault(span.trace_id, {})
        if len(trace) >= self.most_of_one:
            self.forgotten += 1
            return
        self._count += span.key not in trace
        trace[span.key] = span
        self.taken += 1
        while self._count > self.most:
            _, gone = self._traces.popitem(last=False)
            self._count -= len(gone)
            self.forgotten += len(gone)

    def trace(self, trace_id: str) -> list[Span]:
        """A trace's spans in order of time; empty if there is none."""
        return in_order(self._traces.get(trace_id, {}).values())

    def services(self) -> list[str]:
        """Names of the services that made spans."""
        return sorted({each.local.service for each in self._spans() if each.local.service})

    def names(self, service: str) -> list[str]:
        """Names of a service's spans."""
        return self._of(service, lambda each: each.name)

    def remotes(self, service: str) -> list[str]:
        """Names of the services at the other end of a service's spans."""
        return self._of(service, lambda each: each.remote.service)

    def traces(self, query: Query) -> list[list[Span]]:
        """The traces that a query is for, latest first."""
        every = (in_order(each.values()) for each in self._traces.values())
        found = [each for each in every if query.fits(each)]
        return sorted(found, key=start, reverse=True)[: query.limit]

    def between(self, first: int, last: int) -> list[list[Span]]:
        """All traces that began in a time (microseconds)."""
        every = (in_order(each.values()) for each in self._traces.values())
        return [each for each in every if first <= start(each) <= last]

    def _spans(self) -> Iterable[Span]:
        return (each for trace in self._traces.values() for each in trace.values())

    def _of(self, service: str, name: Callable[[Span], str]) -> list[str]:
        mine = (each for each in self._spans() if each.local.service.lower() == service.lower())
        return sorted({name(each) for each in mine if name(each)})


def in_order(spans: Iterable[Span]) -> list[Span]:
    """In order of time; of two at once the caller's first."""
    return sorted(spans, key=lambda each: (each.timestamp, each.kind != "CLIENT", each.id))


def start(trace: list[Span]) -> int:
    """When a trace began (microseconds)."""
    return next((each.timestamp for each in trace if each.timestamp), 0)
