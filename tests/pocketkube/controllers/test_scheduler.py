"""The scheduler: Pods are spread, wishes and prohibitions hold, who waits is told why and not forgotten."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pocketkube.api.objects import Obj, copy_of
from pocketkube.controllers import conditions
from tests.pocketkube.controllers.stage import Stage, node, pod, replica_set, stage
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def place(scene: Stage, name: str) -> str:
    return str(scene.get("pods", name)["spec"].get("nodeName", ""))


def why(scene: Stage, name: str) -> str:
    condition = conditions.find(scene.get("pods", name)["status"]["conditions"], "PodScheduled")
    assert condition is not None
    assert condition["status"] == "False"
    return str(condition["message"])


async def change_node(scene: Stage, name: str, **spec: Any) -> None:
    changed = copy_of(scene.api.get("nodes", name))
    changed["spec"] = spec
    await scene.api.update("nodes", changed)
    await scene.settled()


def in_zone(operator: str, *values: str) -> Obj:
    return {
        "matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": operator, "values": list(values)}
        ]
    }


def required_zone(operator: str, *values: str) -> Obj:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [in_zone(operator, *values)]}}}


def near(app: str, key: str = "kubernetes.io/hostname") -> Obj:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}


def test_replicas_are_spread() -> None:
    async def play() -> None:
        async with stage(nodes=3) as scene:
            for name in ("web", "api"):
                await scene.create("replicasets.apps", replica_set(name, 6))
                nodes = Counter(entry["spec"]["nodeName"] for entry in scene.pods(f"app={name}"))
                assert set(nodes.values()) == {2}

    run(play())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {"topology.kubernetes.io/zone": "zone-2"}}, "node-2"),
        ({"affinity": required_zone("In", "zone-2")}, "node-2"),
        ({"affinity": required_zone("NotIn", "zone-1")}, "node-2"),
        (
            {
                "affinity": {
                    "nodeAffinity": {PREFERRED: [{"weight": 1, "preference": in_zone("In", "zone-2")}]}
                }
            },
            "node-2",
        ),
        ({"nodeName": "node-2"}, "node-2"),
        ({}, "node-1"),
    ],
)
def test_the_pod_chooses_its_node(spec: Obj, expected: str) -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("pods", pod("web", **spec))
            assert place(scene, "web") == expected

    run(play())


def test_pods_keep_away_from_their_like() -> None:
    async def play() -> None:
        async with stage() as scene:
            for name in ("one", "two", "three"):
                affinity = {"podAntiAffinity": {REQUIRED: [near("web")]}}
                await scene.create("pods", pod(name, labels={"app": "web"}, affinity=affinity))
            assert {place(scene, "one"), place(scene, "two")} == {"node-1", "node-2"}
            assert place(scene, "three") == ""
            assert why(scene, "three") == (
                "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
            )
            assert len(scene.events("FailedScheduling")) == 1

            await scene.delete("pods", "one")
            assert place(scene, "three") == "node-1"

    run(play())


def test_who_wants_to_be_alone_stays_alone() -> None:
    async def play() -> None:
        async with stage(nodes=1) as scene:
            affinity = {"podAntiAffinity": {REQUIRED: [near("guest")]}}
            await scene.create("pods", pod("hermit", affinity=affinity))
            await scene.create("pods", pod("guest"))
            assert "existing pods anti-affinity" in why(scene, "guest")

    run(play())


def test_pods_find_each_other() -> None:
    async def play() -> None:
        async with stage(nodes=3) as scene:
            await scene.create("pods", pod("web", nodeName="node-3"))
            affinity = {"podAffinity": {REQUIRED: [near("web", "topology.kubernetes.io/zone")]}}
            await scene.create("pods", pod("cache", affinity=affinity))
            assert place(scene, "cache") == "node-3"
            liked = {"podAffinity": {PREFERRED: [{"weight": 5, "podAffinityTerm": near("web")}]}}
            await scene.create("pods", pod("log", affinity=liked))
            assert place(scene, "log") == "node-3"

    run(play())


def test_the_first_of_its_kind_needs_no_company() -> None:
    async def play() -> None:
        async with stage() as scene:
            affinity = {"podAffinity": {REQUIRED: [near("web")]}}
            for name in ("one", "two", "three"):
                await scene.create("pods", pod(name, labels={"app": "web"}, affinity=affinity))
            assert {place(scene, name) for name in ("one", "two", "three")} == {"node-1"}

    run(play())


def test_pods_are_spread_over_zones() -> None:
    async def play() -> None:
        async with stage(nodes=2) as scene:
            spread = {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}},
            }
            for number in range(4):
                labels = {"app": "web"}
                await scene.create(
                    "pods", pod(f"web-{number}", labels=labels, topologySpreadConstraints=[spread])
                )
            nodes = Counter(entry["spec"]["nodeName"] for entry in scene.pods())
            assert nodes == {"node-1": 2, "node-2": 2}

    run(play())


def test_taints_keep_away_whoever_does_not_tolerate_them() -> None:
    async def play() -> None:
        async with stage(nodes=1) as scene:
            await change_node(
                scene, "node-1", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]
            )
            await scene.create("pods", pod("plain"))
            assert "untolerated taint {gpu: yes}" in why(scene, "plain")
            for name, toleration in (
                ("exact", {"key": "gpu", "value": "yes", "effect": "NoSchedule"}),
                ("key", {"key": "gpu", "operator": "Exists"}),
                ("all", {"operator": "Exists"}),
            ):
                await scene.create("pods", pod(name, tolerations=[toleration]))
                assert place(scene, name) == "node-1"

    run(play())


def test_a_cordoned_node_gets_no_pods_until_it_is_open_again() -> None:
    async def play() -> None:
        async with stage(nodes=1) as scene:
            await change_node(scene, "node-1", unschedulable=True)
            await scene.create("pods", pod("web"))
            assert "node.kubernetes.io/unschedulable" in why(scene, "web")
            await change_node(scene, "node-1")
            assert place(scene, "web") == "node-1"

    run(play())


def test_pods_wait_for_the_first_node() -> None:
    async def play() -> None:
        async with stage(nodes=0) as scene:
            await scene.create("replicasets.apps", replica_set("web", 2))
            assert why(scene, scene.pods()[0]["metadata"]["name"]) == "no nodes available to schedule pods"
            await scene.create("nodes", node("late", "zone-1"), "")
            assert {entry["spec"]["nodeName"] for entry in scene.pods()} == {"late"}

    run(play())


def test_a_full_node_is_full_until_a_pod_has_ended() -> None:
    async def play() -> None:
        async with stage(nodes=0) as scene:
            small = node("small", "zone-1")
            small["status"]["allocatable"]["pods"] = "1"
            await scene.create("nodes", small, "")
            first = await scene.create("pods", pod("first"))
            await scene.create("pods", pod("second"))
            assert "Too many pods" in why(scene, "second")
            await scene.finish(first)
            assert place(scene, "second") == "small"

    run(play())


@pytest.mark.parametrize(
    "spec", [{"schedulerName": "another"}, {"schedulingGates": [{"name": "example.com/wait"}]}]
)
def test_what_is_not_ours_is_left_alone(spec: Obj) -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("pods", pod("web", **spec))
            assert place(scene, "web") == ""
            assert scene.events("FailedScheduling") == []

    run(play())
