"""Who has waited too long already, by what is left of deadlines."""

import pytest

from mesh.mixer.policy.patience import CONNECTIONS, WINDOW, Patience

pytestmark = pytest.mark.behaviour("P4")


def patience() -> tuple[Patience, list[float]]:
    now = [0.0]
    return Patience(lambda: now[0]), now


def test_one_that_has_waited_for_half_of_its_time_is_late() -> None:
    found, _ = patience()
    assert [found.late("a", left) for left in (1.0, 0.9, 0.51, 0.49, 0.0)] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_each_connection_has_its_own_time() -> None:
    found, _ = patience()
    assert not found.late("a", 5.0)
    assert not found.late("b", 0.5)
    assert found.late("a", 0.5)


def test_without_a_deadline_nobody_is_late() -> None:
    found, _ = patience()
    assert not found.late("a", None)


def test_a_shorter_time_is_learned() -> None:
    found, now = patience()
    assert not found.late("a", 5.0)
    now[0] = WINDOW
    assert found.late("a", 1.0), "the window before still counts"
    now[0] = 2 * WINDOW
    assert not found.late("a", 1.0)


def test_connections_are_not_remembered_without_end() -> None:
    found, _ = patience()
    for number in range(CONNECTIONS + 5):
        found.late(str(number), 1.0)
    assert repr(found) == f"<Patience with {CONNECTIONS} connections>"
