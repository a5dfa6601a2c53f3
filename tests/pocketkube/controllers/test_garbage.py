"""The garbage collector: what is owned goes with its owners, in the way that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pocketkube.api.objects import Obj
from tests.pocketkube.controllers.stage import NAMESPACE, Stage, deployment, stage
from tests.pocketkube.controllers.test_namespace import definition
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")


def owned(name: str, owners: Sequence[Obj] = (), *, block: bool = True) -> Obj:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references}}


async def family(scene: Stage) -> None:
    """Grandmother, mother, child: each owns the next."""
    grandmother = await scene.create("configmaps", owned("grandmother"))
    mother = await scene.create("configmaps", owned("mother", [grandmother]))
    await scene.create("configmaps", owned("child", [mother]))


def alive(scene: Stage) -> set[str]:
    return {entry["metadata"]["name"] for entry in scene.all("configmaps")} - {"kube-root-ca.crt"}


@pytest.mark.parametrize("propagation", ["", "Background", "Foreground"])
def test_all_generations_go(propagation: str) -> None:
    async def play() -> None:
        async with stage() as scene:
            await family(scene)
            await scene.delete("configmaps", "grandmother", propagation=propagation)
            assert alive(scene) == set()

    run(play())


def test_orphans_stay() -> None:
    async def play() -> None:
        async with stage() as scene:
            await family(scene)
            await scene.delete("configmaps", "grandmother", propagation="Orphan")
            assert alive(scene) == {"mother", "child"}
            assert not scene.get("configmaps", "mother")["metadata"].get("ownerReferences")

    run(play())


def test_one_of_two_owners_is_enough_to_stay() -> None:
    async def play() -> None:
        async with stage() as scene:
            one = await scene.create("configmaps", owned("one"))
            other = await scene.create("configmaps", owned("other"))
            await scene.create("configmaps", owned("child", [one, other]))
            await scene.delete("configmaps", "one")
            assert alive(scene) == {"other", "child"}
            references = scene.get("configmaps", "child")["metadata"]["ownerReferences"]
            assert [entry["name"] for entry in references] == ["other"]
            await scene.delete("configmaps", "other")
            assert alive(scene) == set()

    run(play())


def test_an_owner_in_the_foreground_goes_last() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("deployments.apps", deployment("web", 1))
            scene.by_hand = True
            last = scene.pods()[0]
            await scene.delete("deployments.apps", "web", propagation="Foreground")
            assert scene.exists("deployments.apps", "web")
            assert len(scene.all("replicasets.apps")) == 1
            assert len(scene.all("pods")) == 1
            await scene.remove(last)
            await scene.settled()
            assert not scene.exists("deployments.apps", "web")
            assert scene.all("replicasets.apps") == []

    run(play())


def test_what_does_not_block_does_not_hold_its_owner() -> None:
    async def play() -> None:
        async with stage() as scene:
            owner = await scene.create("configmaps", owned("owner"))
            child = owned("child", [owner], block=False)
            child["metadata"]["finalizers"] = ["example.com/hold"]
            await scene.create("configmaps", child)
            await scene.delete("configmaps", "owner", propagation="Foreground")
            assert alive(scene) == {"child"}
            await scene.patch("configmaps", "child", {"metadata": {"finalizers": []}})
            assert alive(scene) == set()

    run(play())


def test_an_owner_that_never_was_takes_its_dependents_with_it() -> None:
    async def play() -> None:
        async with stage() as scene:
            ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
            await scene.create("configmaps", owned("child", [ghost]))
            assert alive(scene) == set()

    run(play())


def test_an_owner_of_the_same_name_is_not_the_same_owner() -> None:
    async def play() -> None:
        async with stage() as scene:
            owner = await scene.create("configmaps", owned("owner"))
            await scene.delete("configmaps", "owner")
            await scene.create("configmaps", owned("owner"))
            await scene.create("configmaps", owned("child", [owner]))
            assert alive(scene) == {"owner"}

    run(play())


def test_an_owner_of_an_unknown_kind_is_not_judged() -> None:
    async def play() -> None:
        async with stage() as scene:
            child = owned("child", [{"metadata": {"name": "a", "uid": "b"}}])
            child["metadata"]["ownerReferences"][0] |= {"apiVersion": "nobody.example/v1", "kind": "Unknown"}
            await scene.create("configmaps", child)
            assert alive(scene) == {"child"}

    run(play())


def test_custom_resources_can_own() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("customresourcedefinitions.apiextensions.k8s.io", definition(), "")
            wish = await scene.create("wishes.example.com", {"kind": "Wish", "metadata": {"name": "one"}})
            child = owned("child", [wish])
            child["metadata"]["ownerReferences"][0] |= {"apiVersion": "example.com/v1", "kind": "Wish"}
            await scene.create("configmaps", child)
            assert alive(scene) == {"child"}
            await scene.api.delete("wishes.example.com", "one", NAMESPACE)
            await scene.settled()
            assert alive(scene) == set()

    run(play())
