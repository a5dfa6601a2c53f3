"""O4: what waits for a back end is bounded, sent once, and counted if it is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.mixer.adapters.batches import CLOSED, FULL, REFUSED, Batches, Limits, Lost, Unsent, export_metrics
from tests.live import until
from tests.loops import run
from tests.mixer.tracing.rig import counted

pytestmark = pytest.mark.behaviour("O4")


class BackEnd:
    """What has arrived; `fails` are raised, one for each attempt, before anything is taken."""

    def __init__(self, *fails: Exception) -> None:
        self.batches: list[list[int]] = []
        self.fails = list(fails)
        self.gone = asyncio.Event()
        self.gone.set()
        self.attempts = 0

    async def send(self, batch: Sequence[int]) -> None:
        self.attempts += 1
        await self.gone.wait()
        if self.fails:
            raise self.fails.pop(0)
        self.batches.append(list(batch))

    @property
    def items(self) -> list[int]:
        return [each for batch in self.batches for each in batch]


@asynccontextmanager
async def queue(back_end: BackEnd, registry: CollectorRegistry, **limits: Any) -> AsyncIterator[Batches[int]]:
    chosen = Limits(**{"interval": 0.01, "closing": 2.0, **limits})
    batches: Batches[int] = Batches(
        "h.ns", back_end.send, export_metrics(registry), chosen, back_off=(0.001, 0.01)
    )
    task = asyncio.create_task(batches.run())
    try:
        yield batches
    finally:
        await batches.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lost(registry: CollectorRegistry, reason: str) -> float:
    return counted(registry, "mixer_export_lost_total", handler="h.ns", reason=reason)


def sent(registry: CollectorRegistry) -> float:
    return counted(registry, "mixer_export_sent_total", handler="h.ns")


def test_everything_arrives_once_in_order_and_in_batches() -> None:
    registry = CollectorRegistry()

    async def scenario() -> BackEnd:
        back_end = BackEnd()
        async with queue(back_end, registry, batch=40) as batches:
            batches.put(range(100))
            await until(lambda: len(back_end.items) == 100, "all arrive")
        return back_end

    back_end = run(scenario())
    assert back_end.items == list(range(100))
    assert [len(each) for each in back_end.batches] == [40, 40, 20]
    assert sent(registry) == 100


def test_a_back_end_that_was_away_gets_what_waited_once() -> None:
    registry = CollectorRegistry()

    async def scenario() -> BackEnd:
        back_end = BackEnd(*(Unsent("away") for _ in range(5)))
        async with queue(back_end, registry) as batches:
            batches.put(range(10))
            await until(lambda: back_end.items, "they arrive")
        return back_end

    back_end = run(scenario())
    assert back_end.items == list(range(10)) and back_end.attempts == 6
    assert sent(registry) == 10


def test_a_full_queue_loses_what_comes_last_and_counts_it() -> None:
    registry = CollectorRegistry()

    async def scenario() -> BackEnd:
        back_end = BackEnd()
        back_end.gone.clear()
        async with queue(back_end, registry, queue=50, batch=10) as batches:
            batches.put(range(80))
            await until(lambda: back_end.attempts, "one is tried")
            batches.put(range(80, 90))  # what is in hand still counts
            assert lost(registry, FULL) == 40
            back_end.gone.set()
            await until(lambda: len(back_end.items) == 50, "the others arrive")
        return back_end

    assert run(scenario()).items == list(range(50))
    assert (sent(registry), lost(registry, FULL)) == (50, 40)


def test_what_is_refused_is_not_sent_again() -> None:
    registry = CollectorRegistry()

    async def scenario() -> BackEnd:
        back_end = BackEnd(Lost("no"), Lost("some", count=3))
        async with queue(back_end, registry, batch=10) as batches:
            batches.put(range(30))
            await until(lambda: back_end.items, "the last arrive")
        return back_end

    assert run(scenario()).items == list(range(20, 30))
    assert (sent(registry), lost(registry, REFUSED)) == (17, 13)


def test_closing_hands_on_what_waits() -> None:
    registry = CollectorRegistry()

    async def scenario() -> BackEnd:
        back_end = BackEnd()
        async with queue(back_end, registry, interval=60.0, batch=40) as batches:
            batches.put(range(100))
        return back_end

    assert run(scenario()).items == list(range(100))


def test_closing_while_the_back_end_is_away_ends_and_counts() -> None:
    registry = CollectorRegistry()

    async def scenario() -> None:
        back_end = BackEnd()
        back_end.gone.clear()
        async with queue(back_end, registry, closing=0.05, batch=10) as batches:
            batches.put(range(25))

    run(scenario())
    assert (sent(registry), lost(registry, CLOSED)) == (0, 25)
    assert counted(registry, "mixer_export_waiting", handler="h.ns") == 0
