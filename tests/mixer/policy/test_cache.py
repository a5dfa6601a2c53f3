"""Answers that may be used again: for which calls, how long, how often."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.mixer.bag import Recording
from mesh.mixer.policy.cache import SIGNATURES, CheckCache, shortest
from mesh.mixer.policy.verdict import ALLOWED, Verdict

pytestmark = pytest.mark.behaviour("P4")

REFUSED = Verdict(7, "no", 403, "no")


class Clock:
    """Time that a test passes."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cache(size: int = 100) -> tuple[CheckCache, Clock]:
    clock = Clock()
    return CheckCache(size, clock), clock


def test_an_answer_is_for_calls_that_agree_on_what_was_read() -> None:
    kept, _ = cache()
    kept.put("weather", {"source.name": "a", ("request.headers", "user"): None}, REFUSED, 10, 100)
    assert kept.get("weather", {"source.name": "a", "request.headers": {"other": "x"}}) is REFUSED
    assert kept.get("weather", {"source.name": "a"}) is REFUSED
    assert kept.get("weather", {"source.name": "a", "request.headers": {"user": "ann"}}) is None
    assert kept.get("weather", {"source.name": "b"}) is None
    assert kept.get("other", {"source.name": "a"}) is None


def test_it_ends_with_its_time() -> None:
    kept, clock = cache()
    kept.put("", {"source.name": "a"}, REFUSED, 5, 100)
    clock.now += 4.9
    assert kept.get("", {"source.name": "a"}) is REFUSED
    clock.now += 0.1
    assert kept.get("", {"source.name": "a"}) is None
    assert len(kept) == 0


def test_making_it_was_the_first_use() -> None:
    kept, _ = cache()
    kept.put("", {"source.name": "a"}, REFUSED, 5, 3)
    found = [kept.get("", {"source.name": "a"}) for _ in range(3)]
    assert found == [REFUSED, REFUSED, None]


@pytest.mark.parametrize(("seconds", "uses"), [(0, 100), (5, 1), (5, 0)])
def test_what_may_not_be_used_again_is_not_kept(seconds: float, uses: int) -> None:
    kept, _ = cache()
    kept.put("", {"source.name": "a"}, REFUSED, seconds, uses)
    assert len(kept) == 0


def test_the_one_not_used_for_longest_goes_first() -> None:
    kept, _ = cache(2)
    kept.put("", {"source.name": "a"}, REFUSED, 5, 100)
    kept.put("", {"source.name": "b"}, REFUSED, 5, 100)
    kept.get("", {"source.name": "a"})
    kept.put("", {"source.name": "c"}, REFUSED, 5, 100)
    assert [kept.get("", {"source.name": name}) for name in "abc"] == [REFUSED, None, REFUSED]


def test_callers_cannot_make_sets_of_references_without_bound() -> None:
    kept, _ = cache(10_000)
    for number in range(3 * SIGNATURES):
        kept.put("", {("request.headers", f"x-{number}"): "1"}, REFUSED, 5, 100)
    last = {"request.headers": {f"x-{3 * SIGNATURES - 1}": "1"}}
    assert kept.get("", last) is REFUSED
    assert kept.get("", {"request.headers": {"x-0": "1"}}) is None


def test_several_results_hold_as_long_as_the_shortest() -> None:
    assert shortest([(5, 100), (10, 3)]) == (5, 3)
    assert shortest([]) == (0.0, 0)


VALUES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2"]), max_size=4)


def decided(bag: Recording) -> Verdict:
    """A decision that reads more or less, by what it finds."""
    if bag.get("a") == "1":
        return REFUSED if bag.get("b") == "2" else ALLOWED
    return REFUSED if bag.get("c") is None and bag.get("d") == "1" else ALLOWED


@given(st.lists(VALUES, max_size=30))
def test_an_answer_is_always_what_would_be_decided_anew(calls: list[Mapping[str, Any]]) -> None:
    kept, _ = cache()
    for values in calls:
        bag = Recording(values)
        fresh = decided(bag)
        assert kept.get("", values) in (None, fresh)
        kept.put("", bag.references, fresh, 10, 100)
