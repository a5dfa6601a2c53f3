"""When requests are due."""

from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.openloop.schedule import Constant, Poisson, Ramp, Schedule, ScheduleError, Step, parsed

pytestmark = pytest.mark.behaviour("H4")

RATES = st.floats(0.5, 300)
SECONDS = st.floats(0.1, 5)


def test_constant_is_even_and_ends() -> None:
    assert list(Constant(4, 1)) == [0, 0.25, 0.5, 0.75]


def test_without_an_end_it_goes_on() -> None:
    assert list(islice(Constant(10), 10_000, 10_001)) == [1000]


def test_step_follows_step() -> None:
    due = list(Step([1, 4], seconds=4))
    assert due == [0, 1, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75]


def test_a_ramp_has_its_rate_at_each_time() -> None:
    due = list(Ramp(10, 90, 10))
    assert len(due) == 500
    for second in range(10):
        counted = sum(second <= each < second + 1 for each in due)
        assert counted == pytest.approx(10 + 8 * (second + 0.5), abs=1)


def test_a_ramp_falls_too() -> None:
    due = list(Ramp(20, 1, 10))
    assert sum(each < 5 for each in due) > 2 * sum(each >= 5 for each in due)
    assert due[-1] < 10


def test_strangers_arrive_in_bunches_and_gaps() -> None:
    """Counts in equal stretches of a Poisson process vary as much as their mean."""
    due = list(Poisson(100, 200))
    counts = [0] * 200
    for each in due:
        counts[int(each)] += 1
    mean = sum(counts) / 200
    variance = sum((each - mean) ** 2 for each in counts) / 199
    assert mean == pytest.approx(100, rel=0.05)
    assert variance == pytest.approx(mean, rel=0.35)


def test_the_same_seed_gives_the_same() -> None:
    assert list(Poisson(10, 5, seed=3)) == list(Poisson(10, 5, seed=3))
    assert list(Poisson(10, 5, seed=3)) != list(Poisson(10, 5, seed=4))


@settings(max_examples=30, deadline=None)
@given(RATES, RATES, SECONDS)
def test_times_never_fall_and_stay_within(first: float, last: float, seconds: float) -> None:
    schedules: list[Schedule] = [
        Constant(first, seconds),
        Poisson(first, seconds),
        Ramp(first, last, seconds),
        Step([first, last], seconds=seconds),
    ]
    for schedule in schedules:
        due = list(schedule)
        assert due == list(schedule)
        assert all(one <= two for one, two in pairwise(due))
        assert all(0 <= each <= seconds for each in due)


@settings(max_examples=30, deadline=None)
@given(RATES, RATES, SECONDS)
def test_as_many_as_the_rate_makes(first: float, last: float, seconds: float) -> None:
    assert len(list(Constant(first, seconds))) == pytest.approx(first * seconds, abs=1)
    assert len(list(Ramp(first, last, seconds))) == pytest.approx((first + last) / 2 * seconds, abs=1)
    assert len(list(Step([first, last], seconds=seconds))) == pytest.approx(
        (first + last) / 2 * seconds, abs=2
    )


@pytest.mark.parametrize("text", ["constant:10", "poisson:0.5", "ramp:10,200", "step:10,20,5"])
def test_texts(text: str) -> None:
    assert str(parsed(text, 5.0)) == text


@pytest.mark.parametrize(
    ("text", "seconds", "says"),
    [
        ("rising:3", 1.0, "no kind 'rising'"),
        ("constant:", 1.0, "'' is no rate"),
        ("constant:0", 1.0, "'0' is no rate"),
        ("constant:-1", 1.0, "'-1' is no rate"),
        ("constant:inf", 1.0, "'inf' is no rate"),
        ("constant:nan", 1.0, "'nan' is no rate"),
        ("constant:1,2", 1.0, "constant takes 1 rate(s), not 2"),
        ("ramp:1", 1.0, "ramp takes 2 rate(s), not 1"),
        ("ramp:1,2", None, "give --duration"),
        ("step:1,2", None, "give --duration"),
    ],
)
def test_what_is_no_schedule_is_told(text: str, seconds: float | None, says: str) -> None:
    with pytest.raises(ScheduleError) as error:
        parsed(text, seconds)
    assert says in str(error.value)
    assert repr(text) in str(error.value)
