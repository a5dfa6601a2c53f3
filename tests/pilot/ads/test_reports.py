"""What Pilot reports of an object: how many proxies it concerns, how many use it, why others refuse it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.model import ObjectKey
from mesh.pilot.ads.reports import ERRORS, LENGTH, Reports
from tests.pilot.ads.resources import bad_routes, cluster, endpoints, listener, routes
from tests.pilot.ads.sources import key
from tests.pilot.ads.test_in_force import connected
from tests.pilot.ads.whole import Whole, proxy, whole

pytestmark = pytest.mark.behaviour("S3")
BASE = cluster("a"), endpoints("a", 1), listener("l", "r"), routes("r", "a", key("rule"))


class Sink:
    """Keeps the last report of each object, and how many there were."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[str, int, int, tuple[str, ...]]] = {}
        self.count = 0

    def report(
        self, key: ObjectKey, resource_version: str, *, proxies: int, acked: int, errors: tuple[str, ...]
    ) -> None:
        self.last[key.name] = resource_version, proxies, acked, errors
        self.count += 1


@asynccontextmanager
async def reporting(w: Whole) -> AsyncIterator[Sink]:
    sink = Sink()
    task = asyncio.create_task(Reports(w.pilot.world, w.pilot.pushes, sink, period=0.01).run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(w: Whole, sink: Sink, name: str, *expected: object) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    held = await w.pilot.sessions.notice.wait_for(
        lambda: sink.last.get(name, ())[: len(expected)] == expected, deadline=deadline, every=0.01
    )
    assert held, sink.last


async def refusals(w: Whole, sink: Sink) -> tuple[str, ...]:
    """The refusals of the rule, once there are any."""
    deadline = asyncio.get_running_loop().time() + 20
    assert await w.pilot.sessions.notice.wait_for(
        lambda: bool(sink.last.get("rule", ("", 0, 0, ()))[3]), deadline=deadline, every=0.01
    )
    return sink.last["rule"][3]


async def test_an_object_is_reported_with_the_proxies_that_use_it() -> None:
    async with whole(*BASE) as w, reporting(w) as sink, proxy(w.pilot.xds), proxy(w.pilot.xds, "other"):
        await connected(w, 2)
        version = w.config.put("rule", routes("r", "a", key("rule"), retries=True))
        await until(w, sink, "rule", version, 2, 2, ())
        await until(w, sink, "base", "1", 0, 0, ())


async def test_a_refusal_is_reported_with_envoys_words_until_it_is_mended() -> None:
    async with whole(*BASE) as w, reporting(w) as sink, proxy(w.pilot.xds):
        await connected(w, 1)
        version = w.config.put("rule", bad_routes("r", key("rule")))
        [words] = await refusals(w, sink)
        assert sink.last["rule"][:3] == (version, 1, 0)
        assert words.startswith("frontend.weather: ")
        assert "Domains" in words
        assert len(words) <= LENGTH
        mended = w.config.put("rule", routes("r", "a", key("rule")))
        await until(w, sink, "rule", mended, 1, 1, ())


async def test_nothing_is_reported_while_nothing_happens() -> None:
    async with whole(*BASE) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        w.config.put("rule", routes("r", "a", key("rule"), retries=True))
        await connected(w, 1)
        sink = Sink()
        reports = Reports(w.pilot.world, w.pilot.pushes, sink)
        reports.round()
        before = sink.count
        for _ in range(3):
            reports.round()
        assert sink.count == before > 0


async def test_the_refusals_of_many_are_cut_short() -> None:
    async with whole(*BASE) as w, reporting(w) as sink:
        async with proxy(w.pilot.xds):
            await connected(w, 1)
            w.config.put("rule", bad_routes("r", key("rule")))
            assert 0 < len(await refusals(w, sink)) <= ERRORS
        await until(w, sink, "rule", "2", 0, 0, ())  # it has gone
