"""H4: a step held under a real load: the generator's process, a real HTTP server, judged by its lines."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from loadtests.canary.errors import CanaryError
from loadtests.canary.generator import Generators, Job
from loadtests.canary.hold import Hold
from loadtests.canary.journal import Journal, Rule
from loadtests.canary.metrics import Samples
from loadtests.canary.rollout import Rollout, load_text
from loadtests.canary.route import SIDE
from loadtests.canary.verdicts import Point, StepResult, Verdict
from loadtests.canary.watch import Watch
from pytest_mesh.clusters.kubeconfig import Existing
from pytest_mesh.mesh import Mesh
from tests.canary.test_rollout import GOOD
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("H4")
FAST = {
    "hold: 10s": "hold: 2s\n  warmUp: 1s\n  judgement: {lateShare: 1}",
    "atLeast: 0.99, margin: 0.01": "atLeast: 0.9",
}


@contextmanager
def serving(status: int) -> Iterator[str]:
    """A server whose every other answer is the canary's, with this status; its URL."""
    turns, loop, ready = itertools.count(), asyncio.new_event_loop(), threading.Event()
    urls: list[str] = []

    async def answer(_: web.Request) -> web.Response:
        canary = next(turns) % 2
        return web.Response(status=status if canary else 200, headers={SIDE: ("baseline", "canary")[canary]})

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        ready.set()
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield urls[0]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def watch(served: Served) -> Iterator[Watch]:
    """Nothing is wrong and the deadline is far."""
    mesh = Mesh(Existing(served.kubeconfig))
    journal = Journal.new(rollout(), {"spec": {}, "metadata": {}}, time.time() + 600)
    yield Watch(mesh, Rule(mesh.api, "weather", "forecast"), journal, {}, time.time)
    mesh.close()


def rollout(**more: str) -> Rollout:
    text = GOOD
    for old, new in {**FAST, **more}.items():
        text = text.replace(old, new)
    return load_text(text)


def held(one: Rollout, url: str, watch: Watch, prolong: int = 0) -> tuple[StepResult, list[Point], int]:
    step, points = one.spec.steps[0], list[Point]()
    result = StepResult(step.title, 10, time.time())
    hold = Hold(one, step, result, points.append, dict, time.time)
    load = one.spec.load
    used = hold.run(lambda seconds: Generators([Job(url, load.schedule, seconds, load)]), watch, prolong)
    return result, points, used


def test_a_good_version_passes_and_the_warm_up_is_not_judged(watch: Watch) -> None:
    with serving(200) as url:
        result, points, used = held(rollout(), url, watch)
    assert (result.verdict, used) == (Verdict.PASS, 0), result.words
    assert result.judged_from >= points[0].end
    assert sum(point.scheduled for point in points) == 300
    assert {side for point in points for side in point.sides} == {"baseline", "canary"}


def test_a_bad_version_fails_and_is_held_no_longer_than_it_takes(watch: Watch) -> None:
    """Two failed intervals in a row end a hold of a minute."""
    with serving(500) as url:
        one = rollout(**{"hold: 2s": "hold: 60s", "{lateShare": "{interval: 1s, lateShare"})
        result, points, _ = held(one, url, watch)
    assert result.verdict is Verdict.FAIL
    assert len(result.looks) == 2
    assert points[-1].end - points[0].start < 30


def test_two_generators_are_one_load(watch: Watch) -> None:
    """As in a header step: a stretch holds what both sent in the same second, and lasts that second once."""
    one = rollout()
    step, points, scraped = one.spec.steps[0], list[Point](), list[float]()
    result = StepResult(step.title, 10, time.time())

    def scrape() -> Samples:
        scraped.append(time.time())
        return {}

    hold = Hold(one, step, result, points.append, scrape, time.time)
    with serving(200) as url:

        def generators(seconds: float) -> Generators:
            return Generators([Job(url, "constant:50", seconds, one.spec.load) for _ in range(2)])

        hold.run(generators, watch, 0)
    assert result.verdict is Verdict.PASS, result.words
    assert sum(point.scheduled for point in points) == 300
    assert max(point.scheduled for point in points) > 80
    assert hold._whole.seconds == pytest.approx(2, abs=0.8)
    begin, end = scraped
    assert points[0].end <= begin + 0.5
    assert end - begin > 1.5


@pytest.mark.deep
def test_a_hold_in_doubt_is_prolonged(watch: Watch) -> None:
    """100 good requests do not show 97.5 %; 200 do (149 are needed, two looks allowed for)."""
    limits = {"atLeast: 0.9": "atLeast: 0.975", "{lateShare": "{inconclusive: 1, lateShare"}
    with serving(200) as url:
        result, _, used = held(rollout(**limits), url, watch, prolong=1)
    assert (result.verdict, used) == (Verdict.PASS, 1), result.words
    assert [look.verdict for look in result.looks] == [Verdict.INCONCLUSIVE, Verdict.PASS]


@pytest.mark.deep
def test_nobody_who_answers_is_no_pass(watch: Watch) -> None:
    result, points, _ = held(rollout(), "http://127.0.0.1:1/", watch)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "no data" in result.words
    assert all(point.sides[""].failed for point in points if point.sides)


def test_a_generator_that_cannot_start_is_an_error(watch: Watch) -> None:
    with pytest.raises(CanaryError, match="ended with 2 before its time: error: target 'nowhere'"):
        held(rollout(), "nowhere", watch)


def test_the_deadline_ends_a_hold(watch: Watch) -> None:
    watch._journal = Journal.new(rollout(), {"spec": {}, "metadata": {}}, time.time() - 1)
    with serving(200) as url, pytest.raises(CanaryError, match="deadline"):
        held(rollout(), url, watch)
