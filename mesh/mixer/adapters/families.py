"""Metrics as rules count them: families of series, in Prometheus' text format.

Not `prometheus_client`'s: series that nobody writes any more go away here, their number is bounded, and
writing is quicker. Source: Prometheus, "Exposition formats" (text, 0.0.4).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["COUNTER", "GAUGE", "DISTRIBUTION"]
TYPES = {"COUNTER": "counter", "GAUGE": "gauge", "DISTRIBUTION": "histogram"}
Labels = tuple[str, ...]
Values = tuple[str | tuple[str, str], ...]
"""The values of a family's labels, then further labels of one series with their values."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a family is; `buckets` are upper bounds, ascending, without infinity."""

    name: str
    kind: Kind
    labels: Labels
    buckets: tuple[float, ...] = ()
    help: str = ""


@dataclass(slots=True)
class Series:
    """One series: a number, or for a distribution its sum and how many fell into each bucket."""

    written: float
    value: float = 0.0
    counts: list[int] = field(default_factory=list)


class Family:
    """The series of one metric. `clock` is for telling which are idle (seconds)."""

    def __init__(self, definition: Definition, clock: Callable[[], float]) -> None:
        self.definition = definition
        self.dropped = 0
        self._clock = clock
        self._series: dict[Values, Series] = {}

    def __repr__(self) -> str:
        return f"<Family {self.definition.name}: {len(self._series)} series, {self.dropped} dropped>"

    def __len__(self) -> int:
        return len(self._series)

    def write(self, labels: Values, value: float, most: int) -> bool:
        """Take a value; False if that would be a series more than `most`, which is dropped and counted."""
        series = self._series.get(labels)
        if series is None:
            if len(self._series) >= most:
                self.dropped += 1
                return False
            size = len(self.definition.buckets) + 1 if self.definition.kind == "DISTRIBUTION" else 0
            series = self._series[labels] = Series(0.0, counts=[0] * size)
        series.written = self._clock()
        if self.definition.kind == "GAUGE":
            series.value = value
        else:
            series.value += value
        if series.counts:
            series.counts[bisect_left(self.definition.buckets, value)] += 1
        return True

    def expire(self, idle: float) -> int:
        """Forget series that nobody has written to for so many seconds; how many."""
        before = self._clock() - idle
        old = [labels for labels, series in self._series.items() if series.written < before]
        for labels in old:
            del self._series[labels]
        return len(old)

    def lines(self) -> Iterator[str]:
        """The family in the text format; nothing while it has no series."""
        what = self.definition
        if not self._series:
            return
        yield f"# HELP {what.name} {escaped_help(what.help or what.name)}\n"
        yield f"# TYPE {what.name} {TYPES[what.kind]}\n"
        for labels, series in self._series.items():
            pairs = ",".join(f'{name}="{escaped(value)}"' for name, value in named(what.labels, labels))
            if what.kind == "DISTRIBUTION":
                yield from self._histogram(pairs, series)
            else:
                yield f"{what.name}{braced(pairs)} {number(series.value)}\n"

    def _histogram(self, pairs: str, series: Series) -> Iterator[str]:
        name, so_far, comma = self.definition.name, 0, "," if pairs else ""
        bounds = [*map(number, self.definition.buckets), "+Inf"]
        for bound, count in zip(bounds, series.counts, strict=True):
            so_far += count
            yield f'{name}_bucket{{{pairs}{comma}le="{bound}"}} {so_far}\n'
        yield f"{name}_sum{braced(pairs)} {number(series.value)}\n"
        yield f"{name}_count{braced(pairs)} {so_far}\n"


def named(labels: Labels, values: Values) -> Iterator[tuple[str, str]]:
    """Names and values of labels; an empty value is as good as none, so those are left out."""
    for index, each in enumerate(values):
        name, value = each if isinstance(each, tuple) else (labels[index], each)
        if value:
            yield name, value


def braced(pairs: str) -> str:
    """Labels in braces, if there are any."""
    return f"{{{pairs}}}" if pairs else ""


def number(value: float) -> str:
    """A number; whole ones without a point.

    >>> number(3.0), number(0.25)
    ('3', '0.25')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def escaped(value: str) -> str:
    """A label's value."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def escaped_help(text: str) -> str:
    """A help text."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")
