"""What goes wrong often is told seldom."""

from typing import Any

import pytest

from mesh.mixer.seldom import PAUSE, TEXTS, Seldom

pytestmark = pytest.mark.behaviour("P4")


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []

    def warning(self, _: str, *, error: str, times: int, exc_info: Any) -> None:
        self.lines.append((error, times))


def test_the_same_is_told_once_in_a_while_with_how_often_it_was() -> None:
    log, now = Log(), [0.0]
    seldom = Seldom(log, "no answer", lambda: now[0])
    for _ in range(5):
        seldom.tell("boom")
    seldom.tell("other")
    now[0] = PAUSE
    seldom.tell("boom")
    assert log.lines == [("boom", 1), ("other", 1), ("boom", 5)]


def test_texts_without_end_are_not_remembered() -> None:
    log = Log()
    seldom = Seldom(log, "no answer", lambda: 0.0)
    for number in range(3 * TEXTS):
        seldom.tell(str(number))
    assert len(log.lines) == 3 * TEXTS
    assert repr(seldom) == f"<Seldom 'no answer', {TEXTS} texts>"
