"""A run as a process does it: signals, windows by the clock, lines out, a last line in any case."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from loadtests.openloop.driver import Driver, MonotonicClock
from loadtests.openloop.http import Target, sender
from loadtests.openloop.lines import AnyLine, Ended, Started, Window
from loadtests.openloop.schedule import Schedule
from loadtests.openloop.tally import Part, Tally

Write = Callable[[AnyLine, Part | None], Awaitable[None]]
"""Takes each line, and the whole run so far beside a window's and the last."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do. `window`: seconds of one line. `workers`, `late_after`, `grace`: the driver's."""

    target: Target
    schedule: Schedule
    workers: int
    window: float
    late_after: float
    grace: float


class Run:
    """One run of a plan."""

    def __init__(self, plan: Plan, write: Write) -> None:
        self._plan = plan
        self._write = write
        self._tally = Tally()
        self._clock = MonotonicClock()
        self._start = self._window_start = time.time()

    async def go(self) -> bool:
        """Carry it out; whether it came to an end without a fault of the generator. Signals stop it."""
        plan = self._plan
        async with sender(plan.target) as send:
            driver = Driver(
                send,
                self._tally,
                workers=plan.workers,
                clock=self._clock,
                late_after=plan.late_after,
                grace=plan.grace,
            )
            with _stopped_by_signals(driver):
                return await self._drive(driver)

    async def _drive(self, driver: Driver) -> bool:
        plan = self._plan
        self._start = self._window_start = time.time()
        await self._write(
            Started(
                target=plan.target.url,
                schedule=str(plan.schedule),
                start=self._start,
                seconds=plan.schedule.seconds,
                limit=plan.workers,
                pid=os.getpid(),
            ),
            None,
        )
        windows = asyncio.create_task(self._windows(driver))
        message = ""
        try:
            await driver.run(plan.schedule)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        finally:
            windows.cancel()
            await asyncio.gather(windows, return_exceptions=True)
        await self._close_window()
        await self._last(driver, message)
        return not message

    async def _windows(self, driver: Driver) -> None:
        """A line each window, at whole multiples from the start; none is written twice or late for good."""
        never, start, number = asyncio.Event(), self._clock(), 0
        try:
            while True:
                number += 1
                await self._clock.wait(start + number * self._plan.window - self._clock(), never)
                await self._close_window()
        except OSError:  # nobody reads the lines any more: who started this is gone
            driver.stop()
            driver.stop()
            raise

    async def _close_window(self) -> None:
        part, now = self._tally.take(), time.time()
        begin, self._window_start = self._window_start, now
        await asyncio.shield(
            asyncio.ensure_future(
                self._write(
                    Window(
                        start=begin,
                        end=now,
                        account=part.account,
                        under_way=self._tally.under_way,
                        labels=part.lines(),
                    ),
                    self._tally.whole,
                )
            )
        )

    async def _last(self, driver: Driver, message: str) -> None:
        reason: Literal["end", "stopped", "error"] = "stopped" if driver.stopped else "end"
        whole = self._tally.whole
        await self._write(
            Ended(
                reason="error" if message else reason,
                message=message,
                start=self._start,
                end=time.time(),
                account=whole.account,
                labels=whole.lines(),
            ),
            whole,
        )


@contextmanager
def _stopped_by_signals(driver: Driver) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, driver.stop)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
