"""Deployments: rolled out within their bounds, stopped, taken back, and told of as kubectl reads it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketkube.api.objects import Obj
from pocketkube.controllers import conditions
from pocketkube.controllers.deployment import notes
from pocketkube.controllers.pods import is_active, is_ready
from tests.pocketkube.controllers.stage import NAMESPACE, Stage, deployment, stage, template
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

DEPLOYMENTS, SETS = "deployments.apps", "replicasets.apps"


def image(version: str) -> Obj:
    """A patch that asks for another version of the program."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": version}]}}}}


def images(pods: list[Obj]) -> list[str]:
    return sorted(entry["spec"]["containers"][0]["image"] for entry in pods)


def status(scene: Stage) -> Obj:
    found: Obj = scene.get(DEPLOYMENTS, "web")["status"]
    return found


def progress(scene: Stage) -> str:
    condition = conditions.find(status(scene)["conditions"], "Progressing")
    assert condition is not None
    return str(condition["reason"])


def sizes(scene: Stage) -> list[int]:
    """The sizes of the ReplicaSets, by revision."""
    found = sorted(scene.all(SETS), key=notes.revision)
    return [entry["spec"]["replicas"] for entry in found]


def rolled_out(scene: Stage) -> bool:
    """What `kubectl rollout status` waits for."""
    found = scene.get(DEPLOYMENTS, "web")
    numbers, wanted = found["status"], found["spec"]["replicas"]
    return bool(
        numbers["observedGeneration"] == found["metadata"]["generation"]
        and numbers.get("updatedReplicas", 0) == wanted
        and numbers.get("replicas", 0) == wanted
        and numbers.get("availableReplicas", 0) == wanted
    )


def test_comes_up() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 3))
            assert rolled_out(scene)
            assert progress(scene) == "NewReplicaSetAvailable"
            assert conditions.is_true(status(scene)["conditions"], "Available")
            only = scene.all(SETS)[0]
            assert only["metadata"]["name"] == f"web-{only['metadata']['labels']['pod-template-hash']}"
            assert notes.of(scene.get(DEPLOYMENTS, "web"))[notes.REVISION] == "1"
            assert scene.events("ScalingReplicaSet") == [
                f"Scaled up replica set {only['metadata']['name']} from 0 to 3"
            ]

    run(play())


def test_nothing_is_left_to_do_when_it_is_up() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 3))
            revision = scene.api.list("pods")[1]
            await scene.settled(3600)
            assert scene.api.list("pods")[1] == revision

    run(play())


def test_a_new_template_replaces_all_pods() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 3))
            await scene.patch(DEPLOYMENTS, "web", image("v2"), kind="strategic")
            assert rolled_out(scene)
            assert images(scene.pods()) == ["v2"] * 3
            assert sizes(scene) == [0, 3]
            assert notes.of(scene.get(DEPLOYMENTS, "web"))[notes.REVISION] == "2"

    run(play())


async def watch_bounds(scene: Stage, replicas: int, surge: int, unavailable: int) -> None:
    """Fail as soon as a rollout leaves its bounds."""
    async for _event in scene.api.watch("pods", NAMESPACE, since=scene.api.list("pods")[1]):
        active = [entry for entry in scene.all("pods") if is_active(entry)]
        ready = [entry for entry in active if is_ready(entry)]
        assert len(active) <= replicas + surge, "more Pods than maxSurge allows"
        assert len(ready) >= replicas - unavailable, "fewer Pods than maxUnavailable allows"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(replicas=st.integers(1, 12), surge=st.integers(0, 4), unavailable=st.integers(0, 4))
def test_a_rolling_update_keeps_its_bounds(replicas: int, surge: int, unavailable: int) -> None:
    if not surge and not unavailable:
        return

    async def play() -> None:
        async with stage() as scene, asyncio.TaskGroup() as group:
            rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
            strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
            await scene.create(DEPLOYMENTS, deployment("web", replicas, strategy=strategy))
            guard = group.create_task(watch_bounds(scene, replicas, surge, min(unavailable, replicas)))
            await scene.patch(DEPLOYMENTS, "web", image("v2"), kind="strategic")
            await scene.patch(DEPLOYMENTS, "web", image("v3"), kind="strategic")
            assert rolled_out(scene)
            assert images(scene.pods()) == ["v3"] * replicas
            guard.cancel()

    run(play())


def test_a_template_that_never_gets_ready_leaves_the_old_pods_alone() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 4))
            scene.by_hand = True
            await scene.patch(DEPLOYMENTS, "web", image("broken"), kind="strategic")
            assert sizes(scene) == [3, 2]
            await scene.settled(599)
            assert progress(scene) != "ProgressDeadlineExceeded"
            await scene.settled(3)
            assert progress(scene) == "ProgressDeadlineExceeded"
            assert sizes(scene) == [3, 2]
            assert status(scene)["availableReplicas"] == 3

    run(play())


def test_a_rollout_that_was_stuck_goes_on_with_a_better_template() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 4, progressDeadlineSeconds=10))
            scene.by_hand = True
            await scene.patch(DEPLOYMENTS, "web", image("broken"), kind="strategic")
            await scene.settled(20)
            scene.by_hand = False
            await scene.patch(DEPLOYMENTS, "web", image("v3"), kind="strategic")
            assert rolled_out(scene)
            assert progress(scene) == "NewReplicaSetAvailable"
            assert sizes(scene) == [0, 0, 4]

    run(play())


def test_undo_finds_the_old_replica_set_again() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 2))
            first = scene.all(SETS)[0]["metadata"]["name"]
            await scene.patch(DEPLOYMENTS, "web", image("v2"), kind="strategic")
            await scene.patch(DEPLOYMENTS, "web", image("v1"), kind="strategic")
            again = scene.get(SETS, first)
            assert again["spec"]["replicas"] == 2
            assert (notes.revision(again), notes.of(again)[notes.HISTORY]) == (3, "1")
            assert notes.of(scene.get(DEPLOYMENTS, "web"))[notes.REVISION] == "3"
            assert len(scene.all(SETS)) == 2

    run(play())


def test_restart_replaces_all_pods() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 2))
            before = {entry["metadata"]["uid"] for entry in scene.pods()}
            mark = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
            change = {"spec": {"template": {"metadata": {"annotations": mark}}}}
            await scene.patch(DEPLOYMENTS, "web", change)
            assert rolled_out(scene)
            assert not before & {entry["metadata"]["uid"] for entry in scene.pods()}

    run(play())


def test_history_is_kept_as_long_as_asked() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 1, revisionHistoryLimit=2))
            for version in ("v2", "v3", "v4", "v5"):
                await scene.patch(DEPLOYMENTS, "web", image(version), kind="strategic")
            assert sorted(map(notes.revision, scene.all(SETS))) == [3, 4, 5]

    run(play())


def test_recreate_ends_the_old_pods_before_it_starts_new_ones() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 2, strategy={"type": "Recreate"}))
            scene.by_hand = True
            await scene.patch(DEPLOYMENTS, "web", image("v2"), kind="strategic")
            ending = scene.all("pods")
            assert images(ending) == ["v1", "v1"]
            assert scene.pods() == []

            await scene.remove(ending[0])
            await scene.settled()
            assert images(scene.all("pods")) == ["v1"]

            await scene.remove(ending[1])
            await scene.settled()
            assert images(scene.all("pods")) == ["v2", "v2"]

    run(play())


def test_a_paused_deployment_scales_but_does_not_roll_out() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 2))
            await scene.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}})
            assert progress(scene) == "DeploymentPaused"
            await scene.patch(DEPLOYMENTS, "web", {**image("v2")}, kind="strategic")
            await scene.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}})
            assert images(scene.pods()) == ["v1"] * 3

            await scene.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}})
            assert images(scene.pods()) == ["v2"] * 3
            assert progress(scene) == "NewReplicaSetAvailable"

    run(play())


def test_scaling_amid_a_rollout_keeps_the_shares() -> None:
    async def play() -> None:
        async with stage() as scene:
            rolling = {"maxSurge": 3, "maxUnavailable": 2}
            strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
            await scene.create(DEPLOYMENTS, deployment("web", 10, strategy=strategy))
            scene.by_hand = True
            await scene.patch(DEPLOYMENTS, "web", image("broken"), kind="strategic")
            assert sizes(scene) == [8, 5]
            await scene.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 15}})
            assert sizes(scene) == [11, 7]

    run(play())


def test_scales_up_and_down() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 1))
            for number in (7, 2, 0, 1):
                await scene.patch(DEPLOYMENTS, "web", {"spec": {"replicas": number}})
                assert rolled_out(scene)
                assert len(scene.pods()) == number
                assert len(scene.all(SETS)) == 1

    run(play())


def test_takes_another_name_if_its_own_is_taken() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 1))
            name = scene.all(SETS)[0]["metadata"]["name"]
            await scene.delete(DEPLOYMENTS, "web", propagation="Orphan")
            labels = {"metadata": {"labels": {"app": "other"}, "ownerReferences": []}}
            assert scene.exists(SETS, name)
            await scene.api.patch(SETS, name, NAMESPACE, labels)
            await scene.create(DEPLOYMENTS, deployment("web", 1))
            assert rolled_out(scene)
            assert status(scene)["collisionCount"] == 1

    run(play())


def test_a_deployment_that_was_deleted_alone_finds_its_pods_again() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(DEPLOYMENTS, deployment("web", 2))
            before = {entry["metadata"]["uid"] for entry in scene.pods()}
            await scene.delete(DEPLOYMENTS, "web", propagation="Orphan")
            assert {entry["metadata"]["uid"] for entry in scene.pods()} == before
            await scene.create(DEPLOYMENTS, deployment("web", 2))
            assert rolled_out(scene)
            assert {entry["metadata"]["uid"] for entry in scene.pods()} == before

    run(play())


def test_what_keeps_pods_from_being_made_is_told() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(
                DEPLOYMENTS, deployment("web", 1, template=template("web", serviceAccountName="robot"))
            )
            failure: Any = conditions.find(status(scene)["conditions"], "ReplicaFailure")
            assert failure["status"] == "True"
            assert "robot" in failure["message"]
            assert not conditions.is_true(status(scene)["conditions"], "Available")

    run(play())
