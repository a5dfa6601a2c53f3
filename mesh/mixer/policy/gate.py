"""How much is worked on at once: beyond it a call waits for a short time, and beyond that it is turned away.

Being turned away costs nothing, so that overload does not take with it the calls that can be answered.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


class Overloaded(Exception):
    """A call was turned away."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`together` calls are worked on, `waiting` more wait for at most `patience` seconds each."""

    together: int = 256
    waiting: int = 512
    patience: float = 0.1


class Gate:
    """Lets calls in by `Limits`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Gate: {self.inside} of {self.limits.together} inside, {len(self._queue)} waiting>"

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Be inside for the block; raises `Overloaded`."""
        if not self.try_enter():
            await self.wait()
        try:
            yield
        finally:
            self.leave()

    def try_enter(self) -> bool:
        """Go in if there is room; `leave` must follow then."""
        if self.inside >= self.limits.together:
            return False
        self.inside += 1
        return True

    async def wait(self) -> None:
        """Wait for room and go in; raises `Overloaded`. `leave` must follow."""
        if len(self._queue) >= self.limits.waiting:
            raise Overloaded(f"{self.inside} checks are under way and {len(self._queue)} wait")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self.limits.patience):
                await turn
        except BaseException as error:
            self._gone(turn)
            if isinstance(error, TimeoutError):
                raise Overloaded(f"no turn within {self.limits.patience} s") from None
            raise

    def _gone(self, turn: "asyncio.Future[None]") -> None:
        if turn in self._queue:
            self._queue.remove(turn)
        elif turn.done() and not turn.cancelled():
            self.leave()  # its turn came as it gave up

    def leave(self) -> None:
        """Make room; the place goes to who waits longest."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.inside -= 1
