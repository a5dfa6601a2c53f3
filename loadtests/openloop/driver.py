"""Sends what is due when it is due, and keeps the account. Knows no protocol: `send` does the talking."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from loadtests.openloop.tally import Tally

LATE_AFTER = 0.01
"""Seconds after its due time at which a request counts as late: ten turns of a healthy event loop."""
GRACE = 5.0
"""Seconds that requests under way are waited for at the end."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its number in the schedule, and the clock's time at which it was due."""

    number: int
    due: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request. `label`: who answered, if it is known. `failure`: its kind, empty if good."""

    label: str = ""
    failure: str = ""


Send = Callable[[Request], Awaitable[Outcome]]
ABANDONED = Outcome(failure="abandoned")


class Clock(Protocol):
    """The time, and how to wait for it."""

    def __call__(self) -> float:
        """Seconds; never goes back."""

    async def wait(self, seconds: float, stopped: asyncio.Event) -> None:
        """Return after so many seconds or when stopped; in any case let others have a turn."""


class MonotonicClock:
    """The machine's."""

    def __call__(self) -> float:
        """Seconds since some time."""
        return time.monotonic()

    async def wait(self, seconds: float, stopped: asyncio.Event) -> None:
        """By the event loop's timers, which are true to about a millisecond."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await stopped.wait()
        except TimeoutError:
            return


class Driver:
    """One run. `workers`: how many requests may be under way; what is due above that is dropped."""

    def __init__(
        self,
        send: Send,
        tally: Tally,
        *,
        workers: int,
        clock: Clock,
        late_after: float = LATE_AFTER,
        grace: float = GRACE,
    ) -> None:
        self._send = send
        self._tally = tally
        self._workers = workers
        self._clock = clock
        self._late_after = late_after
        self._grace = grace
        self._stopped, self._hurried = asyncio.Event(), asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._fault: Exception | None = None

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop before its schedule's end."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Send no more; what is under way is waited for. The second time it is not."""
        if self._stopped.is_set():
            self._hurried.set()
        self._stopped.set()

    async def run(self, schedule: Iterable[float]) -> None:
        """Return when the schedule is at its end, or stopped, and nothing is under way.

        Raises what `send` raised, if it did: it is to tell failures by their outcome.
        """
        try:
            await self._offer(schedule, self._clock())
            await self._finish()
        finally:
            await self._abandon()
        if self._fault:
            raise self._fault

    async def _offer(self, schedule: Iterable[float], start: float) -> None:
        for number, due in enumerate(schedule):
            await self._clock.wait(start + due - self._clock(), self._stopped)
            if self._stopped.is_set():
                return
            self._tally.due()
            if len(self._under_way) >= self._workers:
                self._tally.dropped()
                continue
            self._tally.sent()
            task = asyncio.create_task(self._one(Request(number, start + due)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _one(self, request: Request) -> None:
        sent = self._clock()
        if sent - request.due > self._late_after:
            self._tally.late()
        outcome = ABANDONED
        try:
            outcome = await self._send(request)
        except Exception as error:  # a fault of `send`, which names failures itself: the run ends with it
            self._fault = self._fault or error
            self.stop()
        finally:
            now = self._clock()
            self._tally.done(outcome.label, outcome.failure, response=now - request.due, service=now - sent)

    async def _finish(self) -> None:
        """Wait until nothing is under way, as long as the grace lasts and nobody is in a hurry."""
        end = self._clock() + self._grace
        while self._under_way and self._clock() < end and not self._hurried.is_set():
            hurry = asyncio.create_task(self._hurried.wait())
            try:
                await asyncio.wait(
                    {*self._under_way, hurry},
                    timeout=max(0.0, end - self._clock()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                hurry.cancel()

    async def _abandon(self) -> None:
        await asyncio.sleep(0)  # one that has not begun would be cancelled without a trace
        tasks = set(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def drive(
    schedule: Iterable[float],
    send: Send,
    tally: Tally | None = None,
    *,
    workers: int,
    clock: Clock | None = None,
) -> Tally:
    """A whole run; what came of it."""
    tally = tally or Tally()
    await Driver(send, tally, workers=workers, clock=clock or MonotonicClock()).run(schedule)
    return tally
