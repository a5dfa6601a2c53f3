"""W7, O4: of connections the difference to the report before is counted, and nothing twice."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.mixer.telemetry.connections import CLOSE, CONTINUE, OPEN, Connections

pytestmark = pytest.mark.behaviour("W7", "O4")

KEY = ("kubernetes://echo.weather inbound", "1")


def events(
    connections: Connections, event: str, received: int, sent: int, **more: Any
) -> list[tuple[Any, ...]]:
    """Event and bytes of the reports of one entry."""
    given = {"began": 100.0, "key": KEY, **more}
    key, began = given["key"], given["began"]
    made = connections.events(key, {}, received, sent, event=event, began=began)
    return [
        (each["connection.event"], each["connection.received.bytes"], each["connection.sent.bytes"])
        for each in made
    ]


def test_differences_from_the_opening_to_the_close() -> None:
    connections = Connections(since=50.0)
    assert events(connections, OPEN, 0, 0) == [("open", 0, 0)]
    assert events(connections, CONTINUE, 10, 20) == [("continue", 10, 20)]
    assert events(connections, CONTINUE, 10, 20) == [], "nothing happened"
    assert events(connections, CLOSE, 15, 20) == [("close", 5, 0)]
    assert len(connections) == 0


def test_a_short_one_has_its_close_only() -> None:
    assert events(Connections(since=50.0), CLOSE, 3, 4) == [("open", 0, 0), ("close", 3, 4)]


def test_one_that_began_before_this_process_is_counted_from_here_on() -> None:
    adopted: list[None] = []
    connections = Connections(since=200.0, adopted=lambda: adopted.append(None))
    assert events(connections, CONTINUE, 1000, 2000) == []
    assert events(connections, CONTINUE, 1010, 2000) == [("continue", 10, 0)]
    assert events(connections, CLOSE, 1010, 2005) == [("close", 0, 5)]
    assert events(connections, CLOSE, 500, 500) == [("close", 0, 0)], "its bytes were counted elsewhere"
    assert len(adopted) == 2


def test_an_opening_that_waited_for_this_process_is_one() -> None:
    connections = Connections(since=200.0)
    assert events(connections, OPEN, 0, 0) == [("open", 0, 0)]
    assert events(connections, CLOSE, 4, 5) == [("close", 4, 5)]


def test_one_whose_opening_went_to_another_process_is_counted_from_here_on() -> None:
    assert events(Connections(since=50.0), CONTINUE, 1000, 2000) == []


def test_beyond_the_bound_the_oldest_is_forgotten_and_counted_no_more_than_once() -> None:
    connections = Connections(since=50.0, bound=1)
    events(connections, OPEN, 0, 0)
    events(connections, CONTINUE, 7, 7)
    events(connections, OPEN, 0, 0, key=("other", "2"))
    assert events(connections, CONTINUE, 9, 9) == []


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=20), st.integers(0, 20))
def test_the_parts_are_the_whole(steps: list[tuple[int, int]], restart: int) -> None:
    """Whatever the reports, and wherever another process takes over, no byte is counted twice."""
    connections, counted, total, opened = Connections(since=50.0), [0, 0], [0, 0], 0
    for number, (received, sent) in enumerate([(0, 0), *steps]):
        if number == restart and number:
            connections = Connections(since=200.0)
        total = [total[0] + received, total[1] + sent]
        kind = OPEN if number == 0 else CLOSE if number == len(steps) else CONTINUE
        for event, more_received, more_sent in events(connections, kind, *total):
            opened += event == "open"
            counted = [counted[0] + more_received, counted[1] + more_sent]
    lost = steps[restart - 1] if 0 < restart <= len(steps) else (0, 0)
    assert counted == [total[0] - lost[0], total[1] - lost[1]]
    assert opened == 1
