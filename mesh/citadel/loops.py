"""A task that puts something right whenever it may have gone wrong: after changes, and now and then."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from mesh.citadel.kube import Conflict, KubeError

BACKOFF = (0.05, 10.0)  # seconds: first and longest pause after a failure

log = structlog.get_logger(component="citadel")


class Loop:
    """Runs `step` after each `poke()`, and at least every `period` seconds; a failed step is tried again.

    `step` compares what should be with what is, so that it does not matter how often it runs.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], *, period: float = 30.0) -> None:
        self._name = name
        self._step = step
        self._period = period
        self._wanted = asyncio.Event()
        self._wanted.set()
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Loop {self._name}, {self.failures} failures in a row>"

    def poke(self, *_: object) -> None:
        """Something changed: run soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._wait()
            self._wanted.clear()
            try:
                await self._step()
                self.failures = 0
            except KubeError as error:
                await self._failed(error)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._period):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _failed(self, error: KubeError) -> None:
        self.failures += 1
        self._wanted.set()
        if not isinstance(error, Conflict):
            log.warning("tried again", what=self._name, error=str(error), failures=self.failures)
        await asyncio.sleep(min(BACKOFF[0] * 2 ** min(self.failures, 10), BACKOFF[1]))
