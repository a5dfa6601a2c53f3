"""A way to wait for "something has changed", for any number of waiters, without polling."""

import asyncio
from collections.abc import Callable


class Notice:
    """Wakes everybody who waits; says nothing of what has changed, so each looks for itself."""

    def __init__(self) -> None:
        self.count = 0
        """How often it was given."""
        self._waiters: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"<Notice, {len(self._waiters)} waiting>"

    def give(self) -> None:
        """Wake all who wait now."""
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait_for(
        self, condition: Callable[[], bool], *, deadline: float, every: float | None = None
    ) -> bool:
        """Wait until `condition` holds, looking at each notice; False once the loop's time is `deadline`.

        `every` so many seconds it is looked at without a notice, for what gives none.
        """
        loop = asyncio.get_running_loop()
        while not condition():
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                left = max(0.0, deadline - loop.time())
                # Not `asyncio.wait_for`: before Python 3.12 it swallows a cancellation that meets a result.
                async with asyncio.timeout(left if every is None else min(left, every)):
                    await waiter
            except TimeoutError:
                if loop.time() >= deadline:
                    return condition()
            finally:
                self._waiters.discard(waiter)
        return True
