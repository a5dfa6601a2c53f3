"""The driver by a clock of its own: nothing here waits, and every figure is exact."""

import asyncio
from collections.abc import Callable

import pytest

from loadtests.openloop.driver import Driver, Outcome, Request
from loadtests.openloop.schedule import Constant
from loadtests.openloop.tally import Tally
from tests import loops

pytestmark = pytest.mark.behaviour("H4")

TURNS = 20


class Steered:
    """Time passes only while somebody waits; who waits for less is woken first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._alarms: list[tuple[float, asyncio.Event]] = []

    def __call__(self) -> float:
        return self.now

    async def wait(self, seconds: float, stopped: asyncio.Event) -> None:
        """As the driver waits: others' alarms on the way ring in their order."""
        end = self.now + max(0.0, seconds)
        await turns()
        while (alarm := min(self._alarms, key=lambda each: each[0], default=None)) and alarm[0] <= end:
            self._alarms.remove(alarm)
            self.now = max(self.now, alarm[0])
            alarm[1].set()
            await turns()
            if stopped.is_set():
                return
        self.now = max(self.now, end)

    async def until(self, time: float) -> None:
        """As an answer waits for its time."""
        ring = asyncio.Event()
        self._alarms.append((time, ring))
        await ring.wait()


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def driven(
    schedule: Constant, answer_at: Callable[[float], float], workers: int = 1000, then: float = 100.0
) -> Tally:
    """A run against a server that answers a request, sent at a time, at the time that `answer_at` says."""

    async def go() -> Tally:
        clock, tally = Steered(), Tally()

        async def send(_: Request) -> Outcome:
            await clock.until(answer_at(clock.now))
            return Outcome("v1")

        driver = Driver(send, tally, workers=workers, clock=clock)
        running = asyncio.create_task(driver.run(schedule))
        while not running.done():  # after the schedule's end somebody must still let the time pass
            await turns()
            if clock.now >= (schedule.seconds or 0) - 1 / schedule.rate - 1e-9:
                await clock.wait(0.01, asyncio.Event())
        await running
        tally.take()
        return tally

    return loops.run(go())


def test_all_are_sent_when_due() -> None:
    tally = driven(Constant(100, 2), lambda sent: sent + 0.01)
    account = tally.whole.account
    assert (account.scheduled, account.sent, account.late, account.dropped) == (200, 200, 0, 0)
    assert (account.done, account.failed) == (200, 0)
    assert tally.whole.labels["v1"].response.percentile(99) == pytest.approx(0.01, rel=0.02)


def test_a_stall_is_seen_by_all_that_were_due_in_it() -> None:
    """Frozen from 4 s to 6 s of 10 s: 20 % of the requests wait between 0 and 2 s, so p95 is 1.5 s."""
    tally = driven(Constant(100, 10), lambda sent: 6.0 if 4 <= sent < 6 else sent + 0.001)
    response = tally.whole.labels["v1"].response
    assert response.percentile(95) == pytest.approx(1.5, abs=0.03)
    assert response.percentile(75) == pytest.approx(0.001, rel=0.02)
    assert tally.whole.account.late == 0


def test_above_the_limit_they_are_dropped_and_counted() -> None:
    tally = driven(Constant(100, 10), lambda sent: 6.0 if 4 <= sent < 6 else sent + 0.001, workers=50)
    account = tally.whole.account
    assert (account.scheduled, account.sent, account.dropped) == (1000, 850, 150)
    assert account.done == 850


def test_a_generator_that_was_held_up_says_so() -> None:
    """Its own stall counts in the response time, not in the service time, and those it sent late are late."""

    async def go() -> Tally:
        clock, tally = Steered(), Tally()

        async def send(request: Request) -> Outcome:
            if request.number == 10:
                clock.now += 1.0  # as if the machine had taken the processor away
            return Outcome()

        await Driver(send, tally, workers=10_000, clock=clock).run(Constant(100, 3))
        tally.take()
        return tally

    tally = loops.run(go())
    account, measured = tally.whole.account, tally.whole.labels[""]
    assert (account.sent, account.dropped) == (300, 0)
    assert account.late == pytest.approx(99, abs=3)
    assert measured.response.percentile(75) == pytest.approx(0.25, abs=0.05)
    assert measured.service.percentile(99) == pytest.approx(0, abs=1e-5)


def test_stopped_it_waits_for_what_is_under_way() -> None:
    async def go() -> Tally:
        clock, tally, answered = Steered(), Tally(), asyncio.Event()

        async def send(request: Request) -> Outcome:
            if request.number == 5:
                driver.stop()
                asyncio.get_running_loop().call_soon(answered.set)
            await answered.wait()
            return Outcome()

        driver = Driver(send, tally, workers=100, clock=clock)
        await driver.run(Constant(10))
        tally.take()
        return tally

    account = loops.run(go()).whole.account
    assert (account.sent, account.done, account.failed) == (6, 6, 0)


@pytest.mark.parametrize("stops", [1, 2])
def test_what_gets_no_answer_is_abandoned(stops: int) -> None:
    """After the grace, or at once in a hurry."""

    async def go() -> Tally:
        clock, tally = Steered(), Tally()

        async def send(request: Request) -> Outcome:
            if request.number == 2:
                for _ in range(stops):
                    driver.stop()
            await asyncio.Event().wait()
            return Outcome()

        driver = Driver(send, tally, workers=100, clock=clock, grace=0.05 if stops == 1 else 1000)
        if stops == 1:
            asyncio.get_running_loop().call_later(0.05, setattr, clock, "now", 99.0)
        await driver.run(Constant(10))
        tally.take()
        return tally

    tally = loops.run(go())
    account = tally.whole.account
    assert (account.sent, account.done, account.failed) == (3, 3, 3)
    assert dict(tally.whole.labels[""].failures) == {"abandoned": 3}
    assert tally.under_way == 0


def test_a_fault_of_the_sender_ends_the_run() -> None:
    async def send(_: Request) -> Outcome:
        raise LookupError("a fault")

    async def go() -> None:
        await Driver(send, Tally(), workers=10, clock=Steered()).run(Constant(10))

    with pytest.raises(LookupError, match="a fault"):
        loops.run(go())
