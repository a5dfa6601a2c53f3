"""P2, P3: windows grant no more than their limit, and refuse no more than they must."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.mixer.adapters.windows import FixedWindow, RollingWindow, Window

pytestmark = pytest.mark.behaviour("P2", "P3")

LIMIT, LENGTH, BUCKET = 10, 1000, 100
STEPS = st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 12), st.booleans()), min_size=1, max_size=60)
"""How long after the one before, how much, and whether less will do."""


@dataclass(frozen=True, slots=True)
class Taking:
    """What was asked for, when, and what came of it."""

    at: int
    asked: int
    granted: int
    retry: int
    best_effort: bool


def takings(window: Window, steps: list[tuple[int, int, bool]]) -> list[Taking]:
    found, now = [], 10_000
    for pause, amount, best_effort in steps:
        now += pause
        taken = window.take(now, amount, best_effort=best_effort)
        found.append(Taking(now, amount, taken.granted, taken.retry, best_effort))
    return found


def within(found: list[Taking], begin: int, end: int) -> int:
    """What was granted after `begin`, and not after `end`."""
    return sum(each.granted for each in found if begin < each.at <= end)


@given(STEPS)
def test_no_time_as_long_as_a_rolling_window_sees_more_than_the_limit(
    steps: list[tuple[int, int, bool]],
) -> None:
    found = takings(RollingWindow(LIMIT, LENGTH, BUCKET), steps)
    for each in found:
        assert within(found, each.at - LENGTH, each.at) <= LIMIT


@given(STEPS)
def test_what_a_rolling_window_refuses_had_no_room_a_bucket_ago(steps: list[tuple[int, int, bool]]) -> None:
    found = takings(RollingWindow(LIMIT, LENGTH, BUCKET), steps)
    for index, each in enumerate(found):
        before = within(found[:index], each.at - LENGTH - BUCKET, each.at)
        room = LIMIT - before
        if each.granted < each.asked:
            assert each.asked > room
            assert each.granted >= (min(each.asked, max(0, room)) if each.best_effort else 0)
            assert each.retry > 0
        assert each.granted in ({each.asked, 0} if not each.best_effort else range(each.asked + 1))


@given(STEPS)
def test_after_the_time_that_is_told_there_is_room(steps: list[tuple[int, int, bool]]) -> None:
    for window in (RollingWindow(LIMIT, LENGTH, BUCKET), FixedWindow(LIMIT, LENGTH)):
        last = takings(window, steps)[-1]
        if last.granted < last.asked <= LIMIT:
            # With best effort a part of it was granted now, and all of it is asked for again.
            assert window.take(last.at + last.retry, last.asked).granted == last.asked


@given(STEPS)
def test_a_fixed_window_grants_its_limit_from_its_first_taking_on(steps: list[tuple[int, int, bool]]) -> None:
    found = takings(FixedWindow(LIMIT, LENGTH), steps)
    begin, used = -LENGTH, 0
    for each in found:
        if each.at >= begin + LENGTH or not used:
            begin, used = each.at, 0
        room = LIMIT - used
        assert each.granted == (each.asked if each.asked <= room else room if each.best_effort else 0)
        used += each.granted


def test_a_window_without_end_gives_nothing_back() -> None:
    window = FixedWindow(3, 0)
    assert [window.take(now, 2).granted for now in (0, 10**15, 10**18)] == [2, 0, 0]
    assert window.take(10**18, 2, best_effort=True).granted == 1


@pytest.mark.parametrize("window", [FixedWindow(3, 100), RollingWindow(3, 100, 10)])
def test_a_window_is_over_when_all_is_given_back(window: Window) -> None:
    assert window.over(0)
    window.take(5, 3)
    assert not window.over(104)
    assert window.over(120)
