"""What all controllers stand on: the queue, the informers, the loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pocketkube.api.api import Api
from pocketkube.api.errors import BadRequest, Conflict
from pocketkube.api.objects import Obj, copy_of
from pocketkube.controllers.cluster import Cluster
from pocketkube.controllers.controller import Controller, run_controllers
from pocketkube.controllers.informer import Informer, Key, by_namespace, key_of
from pocketkube.controllers.template import in_growing_batches
from pocketkube.controllers.workqueue import Backoff, WorkQueue
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

MOMENT = 1e-6


def config(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


async def an_api() -> Api:
    api = Api()
    await api.create("namespaces", {"metadata": {"name": "demo"}})
    return api


# The queue


def test_a_key_waits_once() -> None:
    async def play() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for _ in range(3):
            queue.add("a")
        assert await queue.get() == "a"
        assert not queue.idle
        queue.done("a")
        assert queue.idle

    run(play())


def test_a_key_is_worked_on_by_one_at_a_time() -> None:
    async def play() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.add("b")
        assert await queue.get() == "b"
        queue.done("a")
        assert await queue.get() == "a"

    run(play())


def test_a_key_comes_at_its_time_or_earlier_if_asked() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("a", 5)
        queue.add_after("a", 9)
        queue.add_after("b", 9)
        queue.add_after("b", 2)
        assert (await queue.get(), loop.time()) == ("b", 2)
        assert (await queue.get(), loop.time()) == ("a", 5)
        queue.done("a")
        queue.done("b")
        await asyncio.sleep(10)
        assert queue.idle

    run(play())


def test_a_key_rests_and_gathers_meanwhile() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue(rest=3)
        queue.add("a")
        await queue.get()
        queue.done("a")
        for _ in range(5):
            queue.add("a")
        queue.add("b")
        assert (await queue.get(), loop.time()) == ("b", 0)
        assert (await queue.get(), loop.time()) == ("a", 3)

    run(play())


def test_failures_wait_longer_and_longer() -> None:
    async def play() -> None:
        queue: WorkQueue[str] = WorkQueue(Backoff(1, 5))
        assert [queue.retry("a") for _ in range(4)] == [1, 2, 4, 5]
        assert queue.retry("b") == 1
        queue.forget("a")
        assert queue.retry("a") == 1

    run(play())


def test_a_back_off_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Backoff(0, 1)
    with pytest.raises(ValueError, match="no longer"):
        Backoff(2, 1)


# Informers


@asynccontextmanager
async def following(api: Api) -> AsyncIterator[Informer]:
    informer = Informer(api, "configmaps")
    informer.fill()
    task = asyncio.get_running_loop().create_task(informer.follow())
    yield informer
    task.cancel()


def test_an_informer_follows() -> None:
    async def play() -> None:
        api = await an_api()
        await api.create("configmaps", config("old"), "demo")
        seen: list[tuple[str, str]] = []
        async with following(api) as informer:
            index = informer.index(by_namespace)
            informer.subscribe(lambda before, after: seen.append((name(before), name(after))))
            await api.create("configmaps", config("new"), "demo")
            await api.delete("configmaps", "old", "demo")
            await asyncio.sleep(MOMENT)
            assert seen == [("", "old"), ("", "new"), ("old", "")]
            assert [key_of(entry) for entry in index.get("demo")] == [("demo", "new")]
            assert index.count("nowhere") == 0

    run(play())


def name(obj: Obj | None) -> str:
    return obj["metadata"]["name"] if obj else ""


def test_an_informer_loses_nothing_when_the_log_is_cut() -> None:
    async def play() -> None:
        api = await an_api()
        await api.create("configmaps", config("gone"), "demo")
        await api.create("configmaps", config("kept", a="1"), "demo")
        gone: list[str] = []
        async with following(api) as informer:
            informer.subscribe(lambda before, after: None if after else gone.append(name(before)))
            await api.delete("configmaps", "gone", "demo")
            await api.patch("configmaps", "kept", "demo", {"data": {"a": "2"}})
            api.core.store.compact()
            await api.create("configmaps", config("new"), "demo")
            await asyncio.sleep(MOMENT)
            assert {name(entry): entry["data"] for entry in informer.items.values()} == {
                "kept": {"a": "2"},
                "new": {},
            }
            assert gone == ["gone"]

    run(play())


def test_own_writes_are_known_at_once_and_told_once() -> None:
    async def play() -> None:
        api = await an_api()
        cluster = Cluster(api)
        informer = cluster.informer("configmaps")
        told: Counter[str] = Counter()
        informer.subscribe(
            lambda _before, after: told.update([after["data"].get("a", "")] if after else ["gone"])
        )
        cluster.fill()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(cluster.run())
            await asyncio.sleep(MOMENT)
            made = await cluster.create("configmaps", config("one", a="1"), "demo")
            assert informer.get(("demo", "one")) == made
            changed = copy_of(made)
            changed["data"]["a"] = "2"
            await cluster.update("configmaps", changed)
            assert name(informer.get(("demo", "one"))) == "one"
            await cluster.delete("configmaps", changed)
            assert informer.get(("demo", "one")) is None
            await asyncio.sleep(MOMENT)
            assert informer.items == {}
            running.cancel()
        assert told["1"] >= 1
        assert told["2"] >= 1

    run(play())


def test_a_handler_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        api = await an_api()
        seen: list[str] = []
        async with following(api) as informer:
            informer.subscribe(fail)
            informer.subscribe(lambda _before, after: seen.append(name(after)))
            await api.create("configmaps", config("new"), "demo")
            await asyncio.sleep(MOMENT)
            assert seen == ["new"]

    run(play())
    assert "a handler failed on demo/new" in caplog.text


def fail(_before: Obj | None, _after: Obj | None) -> None:
    raise ValueError("a mistake in a handler")


# The loop


class Fickle(Controller[Key]):
    """Fails as often as a ConfigMap says."""

    name = "fickle"

    def __init__(self, cluster: Cluster, error: Exception) -> None:
        super().__init__(cluster)
        self.attempts: Counter[str] = Counter()
        self._error = error
        self._maps = cluster.informer("configmaps")
        self._maps.subscribe(lambda _before, after: self.queue.add(key_of(after)) if after else None)

    async def reconcile(self, key: Key) -> float | None:
        """Fail a few times."""
        self.attempts[key[1]] += 1
        found = self._maps.get(key)
        if found and self.attempts[key[1]] <= int(found["data"]["failures"]):
            raise self._error
        return None


@pytest.mark.parametrize("error", [ValueError("a mistake"), Conflict("changed"), BadRequest("refused")])
def test_one_bad_key_concerns_no_other(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        api = await an_api()
        cluster = Cluster(api)
        controller = Fickle(cluster, error)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run_controllers(cluster, [controller]))
            await api.create("configmaps", config("bad", failures="3"), "demo")
            await api.create("configmaps", config("good", failures="0"), "demo")
            await asyncio.sleep(MOMENT)
            assert controller.attempts == {"bad": 1, "good": 1}
            await asyncio.sleep(1)
            assert controller.attempts == {"bad": 4, "good": 1}
            running.cancel()

    run(play())
    expected = [] if isinstance(error, Conflict) else ["fickle"] * 3
    assert [entry.name.rsplit(".")[-1] for entry in caplog.records] == expected


def test_what_is_refused_because_the_namespace_ends_is_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        api = await an_api()
        await api.create("configmaps", config("last"), "demo")
        await api.delete("namespaces", "demo")
        cluster = Cluster(api)
        controller = Late(cluster)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run_controllers(cluster, [controller]))
            await asyncio.sleep(60)
            assert controller.attempts == 1
            running.cancel()

    run(play())
    assert not caplog.records


class Late(Controller[Key]):
    """Makes a ConfigMap for each that it sees."""

    name = "late"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.attempts = 0
        cluster.informer("configmaps").subscribe(lambda _before, after: self.queue.add(key_of(after or {})))

    async def reconcile(self, key: Key) -> float | None:
        """Make one more."""
        self.attempts += 1
        await self.cluster.create("configmaps", config("more"), key[0])
        return None


def test_batches_grow_and_stop_at_the_first_failure() -> None:
    async def play() -> None:
        done: list[int] = []

        async def step(number: int) -> None:
            if number == 4:
                raise BadRequest("four")
            done.append(number)

        await in_growing_batches(3, step)
        assert done == [0, 1, 2]
        done.clear()
        with pytest.raises(BadRequest, match="four"):
            await in_growing_batches(50, step)
        assert done == [0, 1, 2, 3, 5, 6]

    run(play())
