"""Waiting: as short as can be, and with words at the end."""

from itertools import count

import pytest

from pytest_mesh import NeverHappenedError, eventually

pytestmark = pytest.mark.behaviour("H2")


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_the_value_is_handed_on_at_once() -> None:
    clock = Clock()
    assert eventually(lambda: "yes", clock=clock, pause=clock.pause) == "yes"
    assert clock.pauses == []


def test_failed_assertions_are_tried_again() -> None:
    clock, tries = Clock(), count()

    def third_time() -> bool:
        assert next(tries) >= 2
        return True

    eventually(third_time, clock=clock, pause=clock.pause)
    assert clock.pauses == [0.002, 0.004]


def test_at_the_deadline_the_last_reason_is_told() -> None:
    clock = Clock()
    with pytest.raises(NeverHappenedError, match=r"not within 3 s .*the last time: .*returned 0"):
        eventually(lambda: 0, 3, clock=clock, pause=clock.pause)
    assert clock.now == pytest.approx(3)


def test_other_exceptions_go_through_unless_named() -> None:
    tries = count()

    def once() -> bool:
        if next(tries) == 0:
            raise ConnectionError
        return True

    with pytest.raises(ConnectionError):
        eventually(once)
    tries = count()
    assert eventually(once, retry_on=(ConnectionError,))
