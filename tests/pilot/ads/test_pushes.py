"""When snapshots are made: the first change at once, a burst gathered, nothing lost when one fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from mesh.model import Proxy
from mesh.pilot.ads.history import History
from mesh.pilot.ads.messages import DeltaRequest
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.session import Session
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.metrics import Metrics
from mesh.pilot.types import CDS, RDS
from tests.pilot.ads.conversation import cds, eds, lds, rds
from tests.pilot.ads.sources import key
from tests.pilot.ads.world import StaticCompiler, World, world

pytestmark = pytest.mark.behaviour("X3")
NODE = "sidecar~127.0.0.1~frontend.weather~weather.svc.cluster.local"


class Bench:
    """Sessions without a network, on a world that tests change."""

    def __init__(self, first: World) -> None:
        self.world = first
        self.fault: Exception | None = None
        self.sessions = Sessions(StaticCompiler(), first, Metrics(), hold_limit=0.01)
        self.pushes = Pushes(self.sessions, self.build, gather=0.05)

    def build(self) -> World:
        if self.fault is not None:
            raise self.fault
        return self.world

    def change(self, *resources: object, cause: str = "rule") -> None:
        self.world = self.world.with_resources(*resources)  # type: ignore[arg-type]
        self.pushes.changed([key(cause)])

    def connect(self) -> Session:
        session = self.sessions.open(Proxy.parse(NODE), sotw=False)
        for type_url in (CDS, RDS):
            session.receive(DeltaRequest(type_url=type_url, subscribe=("r",) if type_url == RDS else ()))
        return session

    async def until(self, condition: object) -> None:
        deadline = asyncio.get_running_loop().time() + 5
        assert await self.sessions.notice.wait_for(condition, deadline=deadline)  # type: ignore[arg-type]


@asynccontextmanager
async def running(first: World) -> AsyncIterator[Bench]:
    bench = Bench(first)
    task = asyncio.create_task(bench.pushes.run())
    try:
        yield bench
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_first_change_goes_at_once_and_those_that_follow_are_gathered() -> None:
    async with running(world(cds("a"))) as bench:
        loop = asyncio.get_running_loop()
        began = loop.time()
        bench.change(cds("a", "2"))
        await bench.until(lambda: bench.pushes.done == 1)
        assert loop.time() - began < 0.05
        for version in range(3, 9):
            bench.change(cds("a", str(version)))
            await asyncio.sleep(0)
        await bench.until(lambda: bench.pushes.done == bench.pushes.asked)
        assert len(list(bench.pushes.history)) == 2
        assert loop.time() - began >= 0.05


async def test_what_comes_in_one_turn_goes_in_one_snapshot() -> None:
    async with running(world()) as bench:
        bench.change(cds("a"), cause="one")
        bench.change(cds("b"), cause="two")
        await bench.until(lambda: bench.pushes.done == 2)
        [push] = bench.pushes.history
        assert push.causes == {key("one"), key("two")}


async def test_the_history_says_who_was_concerned_and_why() -> None:
    async with running(world(rds("r"))) as bench:
        session = bench.connect()
        bench.change(rds("r", "2"), rds("other", "2"))
        await bench.until(lambda: bench.pushes.done == 1)
        [push] = bench.pushes.history
        assert (push.snapshot, push.proxies, push.resources) == (2, [session.id], 1)
        assert push.causes == {key("rule")}
        assert bench.pushes.history.snapshot_of(key("rule")) == 2
        assert bench.pushes.history.snapshot_of(key("another")) is None


async def test_a_snapshot_that_cannot_be_made_is_tried_again_with_the_next_change() -> None:
    async with running(world(cds("a"))) as bench:
        bench.fault = KeyError("nothing here")
        bench.change(cds("b"), cause="first")
        await bench.until(lambda: bench.pushes.failure is not None)
        assert bench.pushes.failure == "KeyError: 'nothing here'"
        assert bench.pushes.done == 0
        bench.fault = None
        bench.change(cds("c"), cause="second")
        await bench.until(lambda: bench.pushes.done == 2)
        assert bench.pushes.failure is None
        [push] = bench.pushes.history
        assert push.causes == {key("first"), key("second")}


async def test_a_fault_for_one_proxy_leaves_it_what_it_has_and_concerns_no_other() -> None:
    class Faulty(StaticCompiler):
        def all(self, snapshot, proxy, type_url):  # type: ignore[no-untyped-def]
            if proxy.name == "faulty" and snapshot.version > 1:
                raise ZeroDivisionError
            return super().all(snapshot, proxy, type_url)

    async with running(world(cds("a"))) as bench:
        bench.sessions.compiler = Faulty()
        faulty = bench.sessions.open(Proxy.parse(NODE.replace("frontend", "faulty")), sotw=False)
        sound = bench.connect()
        faulty.receive(DeltaRequest(type_url=CDS))
        bench.change(cds("a", "2"))
        await bench.until(lambda: bench.pushes.done == 1)
        assert faulty.failure == "ZeroDivisionError: "
        assert (faulty.version, sound.version) == (1, 2)
        assert b"pilot_total_xds_internal_errors_total 1.0" in bench.sessions.metrics.exposition()


async def test_routes_held_for_too_long_are_sent_by_the_clock() -> None:
    first = world(cds("a"), eds("a"), lds("l", route="r"), rds("r"))
    async with running(first) as bench:
        session = bench.connect()
        assert session.outbox.qsize() == 1  # clusters; the routes wait for their endpoints
        nonce = session.outbox.get_nowait().nonce
        session.receive(DeltaRequest(type_url=CDS, nonce=nonce))
        async with asyncio.timeout(30):
            response = await session.outbox.get()
        assert response.type_url == RDS


async def test_a_closed_session_is_sent_nothing() -> None:
    async with running(world(cds("a"), rds("r"))) as bench:
        session = bench.connect()
        bench.sessions.close(session)
        assert len(bench.sessions) == 0
        assert b"pilot_xds 0.0" in bench.sessions.metrics.exposition()
        sent = len(session.journal)
        bench.change(rds("r", "2"))
        await bench.until(lambda: bench.pushes.done == 1)
        assert len(session.journal) == sent


async def test_convergence_is_measured_from_the_change_to_the_last_answer() -> None:
    async with running(world(rds("r"))) as bench:
        session = bench.connect()
        answer(session)
        assert b"pilot_proxy_convergence_time_count 0.0" in bench.sessions.metrics.exposition()
        bench.change(rds("r", "2"))
        await bench.until(lambda: bench.pushes.done == 1)
        assert b"pilot_proxy_convergence_time_count 0.0" in bench.sessions.metrics.exposition()
        answer(session)
        assert b"pilot_proxy_convergence_time_count 1.0" in bench.sessions.metrics.exposition()


def answer(session: Session) -> None:
    """ACK everything that has been sent."""
    while not session.outbox.empty():
        response = session.outbox.get_nowait()
        session.receive(DeltaRequest(type_url=response.type_url, nonce=response.nonce))


async def test_a_change_without_effect_hides_no_earlier_one() -> None:
    """A status that is written after a refusal leaves the refusal what is told of the object."""
    history, ours, other = History(), key("ours"), key("other")
    history.brought([ours], 3)
    history.without_effect([ours, other], 5)
    assert (history.snapshot_of(ours), history.snapshot_of(other)) == (3, 5)
