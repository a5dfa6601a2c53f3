"""How fast the controllers are, and how much they do: in numbers that no busy machine changes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pocketkube.controllers.informer import Key
from pocketkube.controllers.replicaset import ReplicaSets
from tests.pocketkube.controllers.stage import NAMESPACE, Stage, deployment, pod, service, stage
from tests.pocketkube.controllers.virtual import run

pytestmark = [pytest.mark.behaviour("H1"), pytest.mark.behaviour("W3")]

SLICES = "endpointslices.discovery.k8s.io"


@pytest.mark.parametrize("others", [0, 50])
def test_a_change_of_readiness_is_in_the_slice_without_any_waiting(others: int) -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("services", service("web"))
            await scene.create("deployments.apps", deployment("web", others))
            made = await scene.create("pods", pod("web", labels={"app": "web", "alone": "yes"}))
            loop = asyncio.get_running_loop()
            for ready in (False, True):
                await scene.settled()
                events = scene.api.watch(SLICES, NAMESPACE, since=scene.api.list(SLICES)[1])
                before = loop.time()
                await scene.make_ready(made, ready=ready)
                event = await anext(events)
                assert loop.time() == before
                states = {
                    end["targetRef"]["name"]: end["conditions"]["ready"] for end in event.object["endpoints"]
                }
                assert states["web"] is ready

    run(play())


async def cost(scene: Stage, replicas: int) -> tuple[int, int]:
    """Writes to the API, and rounds of the ReplicaSet controller, to scale from one to so many Pods."""
    rounds: Counter[Key] = Counter()
    controller = next(entry for entry in scene.controllers if isinstance(entry, ReplicaSets))
    taken = controller.queue.get

    async def counted() -> Key:
        key = await taken()
        rounds[key] += 1
        return key

    controller.queue.get = counted  # type: ignore[method-assign]
    before = scene.api.list("pods")[1]
    await scene.patch("deployments.apps", "web", {"spec": {"replicas": replicas}})
    assert len(scene.pods()) == replicas
    return scene.api.list("pods")[1] - before, rounds.total()


def test_fifty_pods_cost_five_times_as_much_as_ten() -> None:
    costs: dict[int, tuple[int, int]] = {}

    async def play(replicas: int) -> None:
        async with stage() as scene:
            await scene.create("services", service("web"))
            await scene.create("deployments.apps", deployment("web", 1))
            costs[replicas] = await cost(scene, replicas)

    for replicas in (10, 50, 100):
        run(play(replicas))
    writes = {replicas: found[0] / replicas for replicas, found in costs.items()}
    assert max(writes.values()) < 8, f"writes for each Pod: {writes}"
    assert writes[100] < 1.2 * writes[10]
    rounds = {replicas: found[1] for replicas, found in costs.items()}
    assert rounds[100] < 20, f"rounds over all Pods must not grow with their number: {rounds}"
