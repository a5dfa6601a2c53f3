"""An event loop whose time passes only when nothing else is left to do.

A rollout's deadline of ten minutes passes in no time, in the right order with everything else; and a test
that waits for what will never happen fails at once instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waiting for a timer moves the clock; waiting for what nobody will cause is an error."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self._pass))

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._now

    def _pass(self, seconds: float | None) -> None:
        if seconds is None:
            raise RuntimeError(
                "the test waits for something that will never happen: no timer, no work is left"
            )
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, pass_time: Callable[[float | None], None]) -> None:
        super().__init__()
        self._pass_time = pass_time

    def select(self, timeout: float | None = None) -> Any:
        """Nothing real is waited for."""
        found = super().select(0)
        if not found and (timeout is None or timeout > 0):
            self._pass_time(timeout)
        return found


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)
