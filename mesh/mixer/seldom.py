"""The log of what can go wrong thousands of times a second: each text now and then, with how often it was."""

from collections.abc import Callable
from typing import Any

PAUSE = 10.0
"""Seconds until the same is told again."""

TEXTS = 1000
"""Texts remembered; callers can make up others."""


class Seldom:
    """Tells each text at most once in `PAUSE` seconds."""

    def __init__(self, log: Any, event: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._event = event
        self._clock = clock
        self._told: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Seldom {self._event!r}, {len(self._told)} texts>"

    def tell(self, text: str, error: BaseException | None = None) -> None:
        """Log a text, unless it was logged just now; `error` goes along with its traceback."""
        now = self._clock()
        self._times[text] = self._times.get(text, 0) + 1
        if now < self._told.get(text, now):
            return
        if len(self._told) >= TEXTS:
            self._told.clear()
            self._times = {text: self._times[text]}
        self._told[text] = now + PAUSE
        self._log.warning(self._event, error=text, times=self._times.pop(text), exc_info=error)
