"""S4: buckets of requests; how the verbs write times."""

from datetime import UTC, datetime, timedelta

import pytest

from mesh.citadel import limits
from mesh.citadel.limits import Limiter
from mesh.citadel.settings import Limit
from mesh.cli.cert_texts import left, span

pytestmark = pytest.mark.behaviour("S4")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_a_bucket_empties_and_fills_again() -> None:
    clock = Clock()
    limiter = Limiter(Limit(burst=2, per_second=0.5), clock)
    assert [limiter.allows("a") for _ in range(3)] == [True, True, False]
    assert limiter.allows("b")
    assert limiter.exhausted("a")
    assert not limiter.exhausted("never heard of")
    clock.now += timedelta(seconds=2)
    assert [limiter.allows("a") for _ in range(2)] == [True, False]
    clock.now += timedelta(days=1)
    assert [limiter.allows("a") for _ in range(3)] == [True, True, False]


def test_a_clock_that_is_put_back_takes_nothing_away() -> None:
    clock = Clock()
    limiter = Limiter(Limit(burst=2, per_second=1.0), clock)
    assert limiter.allows("a")
    clock.now -= timedelta(days=1)
    assert limiter.allows("a")
    assert not limiter.allows("a")


def test_who_was_heard_of_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLERS", 3)
    limiter = Limiter(Limit(burst=1, per_second=0.0), Clock())
    for caller in ("a", "b", "c"):
        limiter.allows(caller)
    limiter.allows("a")
    limiter.allows("d")  # "b" goes, and may ask again
    assert len(limiter) == 3
    assert limiter.exhausted("a")
    assert not limiter.exhausted("b")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m"), (3599, "59m59s"), (3600, "1h"), (86_399, "23h59m"),
        (86_400, "1d"), (90_000, "1d1h"), (365 * 86_400, "365d"), (-61, "-1m1s"), (86_400 + 59, "1d"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_what_is_left() -> None:
    assert left(NOW + timedelta(hours=1), NOW) == "1h"
    assert left(NOW - timedelta(hours=1), NOW) == "ended 1h ago"
