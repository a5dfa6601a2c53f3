"""ReplicaSets: so many Pods, the right ones go first, orphans are adopted, failures are told."""

from __future__ import annotations

import pytest

from pocketkube.api.objects import Obj
from pocketkube.controllers.replicaset.ranking import COST, first_to_go
from tests.pocketkube.controllers.stage import Stage, pod, replica_set, stage, template
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

SETS = "replicasets.apps"


def names(pods: list[Obj]) -> set[str]:
    return {entry["metadata"]["name"] for entry in pods}


def numbers(scene: Stage, name: str = "web") -> tuple[int, int, int]:
    status = scene.get(SETS, name)["status"]
    return status["replicas"], status.get("readyReplicas", 0), status.get("availableReplicas", 0)


def test_makes_the_pods_that_it_asks_for() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 3))
            assert numbers(scene) == (3, 3, 3)
            made = scene.pods()
            assert {entry["spec"]["nodeName"] for entry in made} == {"node-1", "node-2"}
            owner = made[0]["metadata"]["ownerReferences"][0]
            assert (owner["kind"], owner["name"], owner["controller"]) == ("ReplicaSet", "web", True)
            assert len(scene.events("SuccessfulCreate")) == 3

    run(play())


def test_replaces_a_deleted_pod() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 2))
            gone = scene.pods()[0]["metadata"]["name"]
            await scene.delete("pods", gone)
            assert numbers(scene) == (2, 2, 2)
            assert gone not in names(scene.pods())

    run(play())


def test_replaces_a_pod_at_once_while_the_old_one_still_ends() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 1))
            scene.by_hand = True
            await scene.delete("pods", scene.pods()[0]["metadata"]["name"])
            assert len(scene.all("pods")) == 2
            assert numbers(scene) == (1, 0, 0)

    run(play())


def test_replaces_a_failed_pod() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 1))
            await scene.finish(scene.pods()[0], well=False)
            assert len(scene.pods()) == 2
            assert numbers(scene) == (1, 1, 1)

    run(play())


def test_scales_down_to_none() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 4))
            await scene.patch(SETS, "web", {"spec": {"replicas": 0}})
            assert scene.all("pods") == []
            assert scene.get(SETS, "web")["status"] == {"replicas": 0, "observedGeneration": 2}

    run(play())


def test_the_pods_that_are_not_ready_go_first() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 3))
            weak = scene.pods()[1]
            await scene.make_ready(weak, ready=False)
            await scene.patch(SETS, "web", {"spec": {"replicas": 2}})
            assert weak["metadata"]["name"] not in names(scene.pods())

    run(play())


def test_adopts_an_orphan_and_releases_what_no_longer_matches() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("pods", pod("stray", labels={"app": "web"}))
            await scene.create(SETS, replica_set("web", 1))
            assert names(scene.pods()) == {"stray"}
            assert scene.get("pods", "stray")["metadata"]["ownerReferences"][0]["name"] == "web"

            await scene.patch("pods", "stray", {"metadata": {"labels": {"app": "debugged"}}})
            assert len(scene.pods()) == 2
            assert not scene.get("pods", "stray")["metadata"].get("ownerReferences")

    run(play())


def test_adopts_an_orphan_that_comes_later() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 1))
            await scene.create("pods", pod("stray", labels={"app": "web"}))
            assert len(scene.pods()) == 1
            assert numbers(scene) == (1, 1, 1)

    run(play())


def test_tells_why_it_cannot_make_pods_and_goes_on_when_it_can() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(
                SETS, replica_set("web", 5, template=template("web", serviceAccountName="robot"))
            )
            condition = scene.get(SETS, "web")["status"]["conditions"][0]
            assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
            assert "robot" in condition["message"]
            assert scene.pods() == []

            await scene.create("serviceaccounts", {"metadata": {"name": "robot"}})
            await scene.settled(1.0)
            assert numbers(scene) == (5, 5, 5)
            assert "conditions" not in scene.get(SETS, "web")["status"]

    run(play())


def test_a_refused_template_costs_one_attempt_at_a_time() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(
                SETS, replica_set("web", 50, template=template("web", serviceAccountName="robot"))
            )
            events = [entry for entry in scene.all("events") if entry["reason"] == "FailedCreate"]
            assert len(events) == 1
            assert events[0]["count"] < 10, "fifty Pods at once, and again and again, would be hundreds"

    run(play())


def test_a_pod_is_available_after_min_ready_seconds() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(SETS, replica_set("web", 1, minReadySeconds=30))
            assert numbers(scene) == (1, 1, 0)
            await scene.settled(29)
            assert numbers(scene) == (1, 1, 0)
            await scene.settled(2)
            assert numbers(scene) == (1, 1, 1)

    run(play())


def ranked(name: str, **facts: object) -> Obj:
    ready = [
        {"type": "Ready", "status": "True", "lastTransitionTime": facts.get("since", "2026-01-01T00:00:00Z")}
    ]
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": facts.get("created", "2026-01-01T00:00:00Z"),
            "annotations": {COST: str(facts.get("cost", 0))},
        },
        "spec": {"nodeName": facts.get("node", "n1")},
        "status": {
            "phase": facts.get("phase", "Running"),
            "conditions": ready if facts.get("ready", True) else [],
            "containerStatuses": [{"restartCount": facts.get("restarts", 0)}],
        },
    }


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"node": ""}, {"phase": "Pending", "ready": False}),
        ({"phase": "Pending", "ready": False}, {"ready": False}),
        ({"ready": False}, {"cost": -5}),
        ({"cost": -5}, {"cost": 0}),
        ({"cost": -5, "since": "2025-01-01T00:00:00Z"}, {"cost": 0, "since": "2026-01-01T00:00:00Z"}),
        ({"since": "2026-01-01T00:00:05Z"}, {"restarts": 3}),
        ({"restarts": 3}, {"created": "2026-01-01T00:00:05Z"}),
        ({"created": "2026-01-01T00:00:05Z"}, {}),
    ],
)
def test_which_of_two_goes_first(first: dict[str, object], later: dict[str, object]) -> None:
    pods = [ranked("a", **later), ranked("b", **first)]
    assert names(first_to_go(pods, 1)) == {"b"}


def test_crowded_nodes_give_first() -> None:
    pods = [ranked("alone", node="n1"), ranked("one", node="n2"), ranked("two", node="n2")]
    assert names(first_to_go(pods, 1)) <= {"one", "two"}
