"""Namespaces: what they begin with, and how they go."""

from __future__ import annotations

import pytest

from pocketkube.api.errors import Forbidden
from tests.pocketkube.controllers.stage import NAMESPACE, deployment, service, stage
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def test_a_namespace_begins_with_an_account_and_the_root_certificate() -> None:
    async def play() -> None:
        async with stage() as scene:
            assert scene.exists("serviceaccounts", "default")
            found = scene.get("configmaps", "kube-root-ca.crt")
            assert found["data"] == {"ca.crt": "the root certificate"}

    run(play())


def test_what_every_namespace_has_comes_back() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.delete("serviceaccounts", "default")
            await scene.patch("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "another"}})
            assert scene.exists("serviceaccounts", "default")
            assert scene.get("configmaps", "kube-root-ca.crt")["data"] == {"ca.crt": "the root certificate"}
            await scene.delete("configmaps", "kube-root-ca.crt")
            assert scene.exists("configmaps", "kube-root-ca.crt")

    run(play())


def test_a_deleted_namespace_is_emptied_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("services", service("web"))
            await scene.create("deployments.apps", deployment("web", 3))
            await scene.delete("namespaces", NAMESPACE, "")
            assert not scene.exists("namespaces", NAMESPACE, "")
            store = scene.api.core.store
            left = {r.id: store.count(r.id) for r in scene.api.core.resources if r.namespaced and r.stored}
            assert not any(left.values()), left

    run(play())
    assert not caplog.records, "an end that was asked for is nothing to warn of"


def test_a_namespace_waits_for_its_pods() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create("deployments.apps", deployment("web", 1))
            scene.by_hand = True
            last = scene.pods()[0]
            await scene.delete("namespaces", NAMESPACE, "")
            status = scene.get("namespaces", NAMESPACE, "")["status"]
            assert status["phase"] == "Terminating"
            assert "pods has 1" in status["conditions"][0]["message"]
            with pytest.raises(Forbidden, match="terminated"):
                await scene.api.create("configmaps", {"metadata": {"name": "late"}}, NAMESPACE)
            await scene.remove(last)
            await scene.settled()
            assert not scene.exists("namespaces", NAMESPACE, "")

    run(play())


def test_a_namespace_that_is_made_again_begins_anew() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.delete("namespaces", NAMESPACE, "")
            await scene.create("namespaces", {"metadata": {"name": NAMESPACE}}, "")
            await scene.create("deployments.apps", deployment("web", 2))
            assert len(scene.pods()) == 2

    run(play())


def test_custom_resources_go_with_their_namespace() -> None:
    async def play() -> None:
        async with stage() as scene:
            await scene.create(CRDS, definition(), "")
            await scene.create("wishes.example.com", {"kind": "Wish", "metadata": {"name": "one"}})
            await scene.delete("namespaces", NAMESPACE, "")
            assert not scene.exists("namespaces", NAMESPACE, "")
            assert scene.api.core.store.count("wishes.example.com") == 0

    run(play())


def definition() -> dict[str, object]:
    """A kind of its own."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "metadata": {"name": "wishes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "wishes", "kind": "Wish", "singular": "wish", "listKind": "WishList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def test_a_kind_that_is_gone_holds_no_namespace() -> None:
    async def play() -> None:
        async with stage() as scene:
            for _ in range(2):
                await scene.create(CRDS, definition(), "")
                await scene.create("wishes.example.com", {"kind": "Wish", "metadata": {"name": "one"}})
                await scene.delete(CRDS, "wishes.example.com", "")
                assert not scene.exists(CRDS, "wishes.example.com", "")
            await scene.delete("namespaces", NAMESPACE, "")
            assert not scene.exists("namespaces", NAMESPACE, "")

    run(play())
