"""P1, G1: kubectl is told what is wrong with Mixer's rules: alone, and among those that are there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh.api.kinds import KINDS
from mesh.galley.admission import Source
from mesh.galley.source.kubernetes import KubernetesSource
from mesh.galley.source.stored import StoredSource
from mesh.model import ObjectKey
from tests import loops
from tests.galley.rig import gate
from tests.galley.test_webhook import apply
from tests.live import client_of, running
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("P1", "G1")
RULES = """
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: deny, namespace: NAMESPACE}
spec: {status: {code: 7, message: never}}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: any, namespace: NAMESPACE}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: never, namespace: NAMESPACE}
spec:
  match: request.headers["a"] == "b"
  actions: [{handler: deny.denier, instances: [any.checknothing]}]
"""
RULE = RULES.split("---")[2]
FEW = [kind for kind in KINDS if kind.kind in ("denier", "checknothing", "rule", "attributemanifest")]


@asynccontextmanager
async def knowing(served: Served) -> AsyncIterator[None]:
    """A webhook that knows the configuration of the cluster."""
    async with gate(served) as webhook, client_of(served.kubeconfig) as client:
        source = KubernetesSource(client, FEW)
        webhook.present = Source(source)
        async with running(source):
            yield


def test_rules_are_admitted_in_the_order_of_their_file(served: Served) -> None:
    """At once after each other: Galley hears of a handler a moment after the API server has stored it."""
    namespace = served.namespace()

    async def test() -> None:
        async with knowing(served):
            admitted = await apply(served, RULES, namespace)
            assert admitted.stdout.count("created") == 3
            assert "Warning" not in admitted.stderr

    loops.run(test())


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"b"', "5", "spec.match: 5 is INT64 where STRING is expected, at character 25 of"),
        ("request.headers[", "request.header[", "did you mean request.headers?"),
        ("deny.denier", "never.denier", "spec.actions[0].handler: there is no handler never.denier"),
        ("any.checknothing", "some.checknothing", "there is no instance some.checknothing"),
        ("code: 7", "code: 700", "spec.status.code"),
    ],
)
def test_bad_rules_are_refused(served: Served, before: str, after: str, words: str) -> None:
    namespace = served.namespace()

    async def test() -> None:
        async with knowing(served):
            refused = await apply(served, RULES.replace(before, after), namespace, check=False)
            assert refused.returncode == 1
            assert words in refused.stderr, refused.stderr

    loops.run(test())


def test_a_rule_that_comes_before_its_handler_waits_for_it_a_moment(served: Served) -> None:
    namespace = served.namespace()

    async def test() -> None:
        async with knowing(served):
            early = asyncio.create_task(apply(served, RULE, namespace, check=False))
            for each in RULES.split("---")[:2]:
                await apply(served, each, namespace)
            answer = await early
            assert answer.returncode == 0 or "apply it before the rule" in answer.stderr

    loops.run(test())


def test_where_nothing_is_known_objects_are_held_against_themselves(served: Served) -> None:
    namespace = served.namespace()

    async def test() -> None:
        async with gate(served):
            admitted = await apply(served, RULE, namespace)
            assert "created" in admitted.stdout
            refused = await apply(served, RULE.replace('"b"', "5"), namespace, check=False)
            assert "INT64 where STRING" in refused.stderr

    loops.run(test())


def test_a_broken_handler_does_not_take_the_place_of_the_last_good_one() -> None:
    """Even if it was stored while nobody asked Galley."""
    source = StoredSource()
    source.store.put(handler("1", 7))
    source.store.put(handler("2", 700))
    key = ObjectKey("denier", "weather", "deny")
    assert source.objects()[key].spec.model_dump()["status"] == {"code": 7}
    assert "spec.status.code" in str(source.rejected(key))
    assert source.seen(key) == "2"


def handler(version: str, code: int) -> dict[str, Any]:
    metadata = {
        "name": "deny",
        "namespace": "weather",
        "resourceVersion": version,
        "generation": int(version),
    }
    return {
        "apiVersion": "config.istio.io/v1alpha2",
        "kind": "denier",
        "metadata": metadata,
        "spec": {"status": {"code": code}},
    }
