"""Latencies in HDR histograms: mergeable, and true to three digits from a microsecond to an hour."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hdrh.histogram import HdrHistogram

LOWEST, HIGHEST, DIGITS = 1, 3_600_000_000, 3
"""Microseconds, and significant digits. What took longer is counted as `HIGHEST`."""
MICRO = 1_000_000


class Latency:
    """Durations of any number of requests; seconds in and out."""

    def __init__(self, encoded: str | None = None) -> None:
        """Empty, or what `encode` gave; raises ValueError if it is not that."""
        self._histogram = HdrHistogram(LOWEST, HIGHEST, DIGITS)
        if encoded is not None:
            with _refused(encoded):
                self._histogram.decode_and_add(encoded.encode("ascii"))

    def record(self, seconds: float) -> None:
        """One request more."""
        self._histogram.record_value(min(max(LOWEST, round(seconds * MICRO)), HIGHEST))

    def add(self, other: "Latency") -> None:
        """What another holds too."""
        if other.count:
            self._histogram.add(other._histogram)

    @property
    def count(self) -> int:
        """How many requests."""
        return int(self._histogram.total_count)

    def percentile(self, percent: float) -> float | None:
        """The duration in seconds that so many per cent did not exceed; None without a request."""
        return self._histogram.get_value_at_percentile(percent) / MICRO if self.count else None

    def above(self, seconds: float) -> int:
        """How many took longer than that, to the histogram's three digits."""
        limit = self._histogram.get_highest_equivalent_value(round(seconds * MICRO))
        return sum(
            step.count_added_in_this_iter_step for step in self._steps() if step.value_iterated_to > limit
        )

    @property
    def mean(self) -> float | None:
        """In seconds; None without a request."""
        return float(self._histogram.get_mean_value()) / MICRO if self.count else None

    @property
    def longest(self) -> float | None:
        """In seconds; None without a request."""
        return self._histogram.get_max_value() / MICRO if self.count else None

    def encode(self) -> str:
        """The histogram's own compressed form (V2) in base64, as other HDR tools read it."""
        return str(self._histogram.encode().decode("ascii"))

    def _steps(self) -> Iterator["HdrHistogram"]:
        return iter(self._histogram.get_recorded_iterator())


def merged(latencies: Iterable[Latency]) -> Latency:
    """All of them in one that is new."""
    together = Latency()
    for each in latencies:
        together.add(each)
    return together


@contextmanager
def _refused(encoded: str) -> Iterator[None]:
    """The codec fails in many ways on what is no histogram; its caller is told one thing."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"no HDR histogram in base64: {encoded[:40]!r}: {error}") from error
