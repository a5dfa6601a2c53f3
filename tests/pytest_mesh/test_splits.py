"""The judgement of splits: exact, with the stated error rate, and never passing without data."""

import random
from collections import Counter

import pytest

from pytest_mesh import assert_split, judge_split, requests_needed
from pytest_mesh.splits import binomial_p_value

pytestmark = pytest.mark.behaviour("H2")


@pytest.mark.parametrize(
    ("seen", "total", "share", "p"),
    [
        (0, 10, 0.5, 2 * 0.5**10),
        (10, 10, 0.5, 2 * 0.5**10),
        (5, 10, 0.5, 1.0),
        (1, 4, 0.5, 2 * 5 / 16),
        (3, 3, 0.1, 2 * 0.001),
        (0, 5, 0.0, 1.0),
        (1, 5, 0.0, 0.0),
        (5, 5, 1.0, 1.0),
    ],
)
def test_p_values_are_those_worked_out_by_hand(seen: int, total: int, share: float, p: float) -> None:
    assert binomial_p_value(seen, total, share) == pytest.approx(p)


def test_a_true_split_passes_as_often_as_stated() -> None:
    dice = random.Random(7)
    alarms = 0
    for _ in range(400):
        counts = Counter("v1" if dice.random() < 0.9 else "v2" for _ in range(200))
        alarms += not judge_split(counts, {"v1": 90, "v2": 10}, error_rate=0.05).holds
    assert alarms <= 32  # 20 expected; more than 32 has a chance below 0.5 %


def test_a_wrong_split_is_found_with_the_numbers_in_the_message() -> None:
    with pytest.raises(AssertionError, match=r"v1: 400 of 500 \(80\.0%\), asked 90\.0%"):
        assert_split({"v1": 400, "v2": 100}, {"v1": 90, "v2": 10})


def test_names_that_nobody_asked_for_fail() -> None:
    with pytest.raises(AssertionError, match="v3: 1 of 101"):
        assert_split({"v1": 50, "v2": 50, "v3": 1}, {"v1": 1, "v2": 1})


def test_a_version_that_must_get_nothing_gets_nothing() -> None:
    assert_split({"v1": 100}, {"v1": 100, "v2": 0})
    with pytest.raises(AssertionError):
        assert_split({"v1": 99, "v2": 1}, {"v1": 100, "v2": 0})


def test_no_data_is_no_pass() -> None:
    with pytest.raises(ValueError, match="no data is no pass"):
        assert_split({}, {"v1": 1})


def test_the_number_needed_tells_two_splits_apart() -> None:
    number = requests_needed(0.9, 0.8, error_rate=1e-6, missed=1e-3)
    assert 600 < number < 800
    with pytest.raises(AssertionError):
        assert_split({"v1": round(number * 0.8), "v2": number - round(number * 0.8)}, {"v1": 0.9, "v2": 0.1})
    with pytest.raises(ValueError, match="must differ"):
        requests_needed(0.5, 0.5)
