"""G2: objects tell whether they are accepted and where they are in force; nothing is written twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh.api.kinds import BY_KIND, Kind
from mesh.galley.board import Board, Report, Sink
from mesh.galley.conditions import merged, programmed
from mesh.galley.galley import COMPACT, Galley, serving
from mesh.galley.metrics import Metrics
from mesh.galley.status import PAUSE, CannotWrite, StatusWriter
from mesh.galley.store import ConfigStore
from mesh.model import ObjectKey
from tests import loops
from tests.galley.rig import Ca, on, with_kinds
from tests.galley.test_store import rule
from tests.live import client_of, until
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S3", "G2")
KEY = ObjectKey("DestinationRule", "weather", "forecast")
RESOURCE = "destinationrules.networking.istio.io"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Platform:
    """Takes status as an API server does: a new version of the object, seen by the store."""

    def __init__(self, store: ConfigStore) -> None:
        self.store = store
        self.objects: dict[ObjectKey, dict[str, Any]] = {}
        self.writes: list[ObjectKey] = []
        self.failing = False
        self.versions = 0

    def put(self, obj: dict[str, Any], generation: int = 1) -> ObjectKey:
        self.versions += 1
        obj["metadata"] |= {"resourceVersion": str(self.versions), "generation": generation}
        key = ObjectKey(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])
        self.objects[key] = obj
        self.store.put(json.loads(json.dumps(obj)))
        return key

    async def write(self, kind: Kind, key: ObjectKey, status: dict[str, Any]) -> None:
        if self.failing:
            raise CannotWrite("503: no")
        self.writes.append(key)
        obj = self.objects[key]
        self.put({**obj, "status": {**(obj.get("status") or {}), **status}}, obj["metadata"]["generation"])

    def conditions(self, key: ObjectKey = KEY) -> dict[str, dict[str, Any]]:
        found = (self.objects[key].get("status") or {}).get("conditions", [])
        return {each["type"]: each for each in found}


class Rig:
    """A writer over a store, a board and a platform of values."""

    def __init__(self, rate: float = 50.0) -> None:
        self.store, self.board = ConfigStore(), Board()
        self.platform = Platform(self.store)
        self.now = NOW
        self.writer = StatusWriter(
            self.store, self.board, self.platform, [BY_KIND["DestinationRule"]], Metrics(),
            period=1.0, rate=rate, now=lambda: self.now,
        )  # fmt: skip
        self.sink = Sink(self.board, "a")

    def step(self, *keys: ObjectKey) -> int:
        """Touch objects and write one batch; the number of writes."""
        before = len(self.platform.writes)
        self.writer.touch(keys or (KEY,))
        asyncio.run(self.writer.step())
        return len(self.platform.writes) - before


def test_an_object_is_accepted_and_then_programmed() -> None:
    it = Rig()
    it.platform.put(rule("1"))
    assert it.step() == 1
    assert it.platform.conditions()["Accepted"]["status"] == "True"
    assert "Programmed" not in it.platform.conditions()
    it.sink.report(KEY, it.store.seen(KEY) or "", proxies=3, acked=2, errors=())
    it.step()
    pending = it.platform.conditions()["Programmed"]
    assert (pending["status"], pending["message"]) == ("False", "2 of 3 proxies have acknowledged it")
    it.now += timedelta(seconds=5)
    it.sink.report(KEY, it.store.seen(KEY) or "", proxies=3, acked=3, errors=())
    it.step()
    done = it.platform.conditions()["Programmed"]
    assert (done["status"], done["lastTransitionTime"]) == ("True", "2030-01-01T00:00:05Z")
    assert it.platform.conditions()["Accepted"]["lastTransitionTime"] == "2030-01-01T00:00:00Z"


def test_what_stands_there_already_is_not_written_again() -> None:
    it = Rig()
    it.platform.put(rule("1"))
    it.sink.report(KEY, "1", proxies=1, acked=1, errors=())
    assert it.step() == 1
    it.sink.report(KEY, it.store.seen(KEY) or "", proxies=1, acked=1, errors=())
    assert [it.step(), it.step()] == [0, 0]


def test_a_wrong_object_is_told_why_and_by_which_generation() -> None:
    it = Rig()
    it.platform.put(rule("1", host="a b"), generation=7)
    it.step()
    accepted = it.platform.conditions()["Accepted"]
    assert (accepted["status"], accepted["observedGeneration"]) == ("False", 7)
    assert "spec.host: 'a b' is not a host name" in accepted["message"]


def test_the_words_of_a_proxy_that_refuses_are_shown() -> None:
    shown = programmed(Report("1", 4, 3, tuple(f"p{n}: no" for n in range(5))), 1)
    assert (shown["status"], shown["reason"]) == ("False", "Rejected")
    assert shown["message"].endswith("p0: no; p1: no; p2: no; and 2 more")


def test_a_report_about_the_version_before_says_nothing_of_this_one() -> None:
    it = Rig()
    it.platform.put(rule("1"))
    old = it.store.seen(KEY) or ""
    it.sink.report(KEY, old, proxies=1, acked=1, errors=())
    it.step()
    it.platform.put(it.platform.objects[KEY] | {"spec": {"host": "other"}}, generation=2)
    it.step()
    assert it.platform.conditions()["Programmed"]["observedGeneration"] == 1
    assert it.platform.conditions()["Accepted"]["observedGeneration"] == 2
    it.sink.report(KEY, it.store.seen(KEY) or "", proxies=1, acked=1, errors=())
    it.step()
    assert it.platform.conditions()["Programmed"]["observedGeneration"] == 2


def test_a_batch_is_bounded_and_the_rest_comes_later() -> None:
    it = Rig(rate=10)
    keys = []
    for number in range(25):
        obj = rule("1")
        obj["metadata"]["name"] = f"r{number}"
        keys.append(it.platform.put(obj))
    assert it.step(*keys) == 10
    assert [it.step(KEY), it.step(KEY), it.step(KEY)] == [10, 5, 0]


def test_others_conditions_stay_and_nonsense_does_no_harm() -> None:
    theirs = {"type": "Theirs", "status": "True"}
    status = merged({"conditions": [theirs, 5, "x"]}, [programmed(Report("1", 0, 0), 1)], 1, NOW)
    assert status is not None
    assert [each["type"] for each in status["conditions"]] == ["Theirs", "Programmed"]
    assert merged({"conditions": "what"}, [], 1, NOW) == {"observedGeneration": 1, "conditions": []}


def test_what_could_not_be_written_is_tried_again() -> None:
    it = Rig()
    it.platform.put(rule("1"))

    async def test() -> None:
        it.platform.failing = True
        it.writer.touch((KEY,))
        loop = asyncio.get_running_loop()
        before = loop.time()
        await it.writer.step()
        it.platform.failing = False
        await until(lambda: it.writer._touched, "the second try")
        assert loop.time() - before >= PAUSE * 0.9
        await it.writer.step()
        assert it.platform.writes == [KEY]

    loops.run(test())


@asynccontextmanager
async def galley_on(served: Served) -> AsyncIterator[Galley]:
    """Galley as it runs beside Pilot in one process."""
    await with_kinds(served)
    identity = await Ca().holder("istio-pilot")
    settings = replace(COMPACT, status_period=0.05)
    async with client_of(served.kubeconfig) as client, serving(settings, client, identity) as galley:
        yield galley


def test_kubectl_waits_for_what_galley_writes(served: Served) -> None:
    namespace = served.namespace()
    key = ObjectKey("DestinationRule", namespace, "forecast")
    text = json.dumps(
        rule("", namespace=namespace) | {"metadata": {"name": "forecast", "namespace": namespace}}
    )

    async def test() -> None:
        async with galley_on(served) as galley:
            await asyncio.to_thread(served.kubectl, "apply", "-f", "-", stdin=text)
            await until(lambda: galley.source.seen(key), "the object")
            before = galley.source.objects()[key]
            for acked in (0, 2):
                galley.status.report(key, galley.source.seen(key) or "", proxies=2, acked=acked, errors=())
            await asyncio.to_thread(
                served.kubectl,
                "wait",
                "-n",
                namespace,
                "--for=condition=Programmed",
                "dr/forecast",
                "--timeout=10s",
            )
            await until(lambda: galley.source.seen(key) != before.resource_version, "the version with status")
            assert galley.source.objects()[key] is before
            found = await on(served, _get(served, namespace))
            assert found["metadata"]["generation"] == 1
            assert {each["type"]: each["status"] for each in found["status"]["conditions"]} == {
                "Accepted": "True",
                "Programmed": "True",
            }
            version = found["metadata"]["resourceVersion"]
            galley.status.report(key, galley.source.seen(key) or "", proxies=2, acked=2, errors=())
            assert galley.writer is not None
            await galley.writer.settled()
            assert (await on(served, _get(served, namespace)))["metadata"]["resourceVersion"] == version

    loops.run(test())


async def _get(served: Served, namespace: str) -> Any:
    return json.loads(json.dumps(served.api.get(RESOURCE, "forecast", namespace)))
