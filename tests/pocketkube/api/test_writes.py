"""Create, update, delete: what the server decides, what it keeps, what it counts."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pocketkube.api.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, NotFound
from pocketkube.api.objects import Obj, copy_of
from tests.pocketkube.api.rig import config_map, definition, deployment, new_api, pod, service

pytestmark = pytest.mark.behaviour("H1")


async def test_a_new_object_is_complete() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    api = await new_api(clock=lambda: now)
    made = await api.create("deployments.apps", deployment(), "demo")
    metadata = made["metadata"]
    assert (metadata["generation"], metadata["creationTimestamp"]) == (1, "2026-01-02T03:04:05Z")
    assert metadata["uid"]
    assert made["spec"]["replicas"] == 1
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


async def test_what_was_given_is_not_touched() -> None:
    api, given = await new_api(), deployment()
    before = copy_of(given)
    await api.create("deployments.apps", given, "demo")
    assert given == before


async def test_names_are_generated() -> None:
    api = await new_api()
    made = await api.create("configmaps", {"metadata": {"generateName": "c-"}}, "demo")
    assert made["metadata"]["name"].startswith("c-")
    with pytest.raises(Invalid, match="name or generateName is required"):
        await api.create("configmaps", {"metadata": {}}, "demo")


async def test_names_are_taken_once() -> None:
    api = await new_api()
    await api.create("configmaps", config_map(), "demo")
    with pytest.raises(AlreadyExists, match='configmaps "c" already exists'):
        await api.create("configmaps", config_map(), "demo")


async def test_namespaces_must_exist() -> None:
    api = await new_api()
    with pytest.raises(NotFound, match='namespaces "elsewhere" not found'):
        await api.create("configmaps", config_map(), "elsewhere")


async def test_the_path_and_the_object_must_agree() -> None:
    api = await new_api()
    wrong = {"metadata": {"name": "c", "namespace": "other"}}
    with pytest.raises(BadRequest, match="'other' and 'demo'"):
        await api.create("configmaps", wrong, "demo")
    with pytest.raises(BadRequest, match="'Secret' does not match 'ConfigMap'"):
        await api.create("configmaps", {"kind": "Secret", **config_map()}, "demo")
    with pytest.raises(BadRequest, match="'v2' does not match"):
        await api.create("configmaps", {"apiVersion": "v2", **config_map()}, "demo")


async def test_generation_counts_what_is_wanted_only() -> None:
    api = await new_api()
    await api.create("deployments.apps", deployment(), "demo")
    labelled = await api.patch("deployments.apps", "d", "demo", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    status = await api.patch(
        "deployments.apps", "d", "demo", {"status": {"replicas": 3}}, subresource="status"
    )
    assert (status["metadata"]["generation"], status["status"]["replicas"]) == (1, 3)
    scaled = await api.patch("deployments.apps", "d", "demo", {"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2


async def test_status_and_the_rest_are_written_apart() -> None:
    api = await new_api()
    await api.create("deployments.apps", {**deployment(), "status": {"replicas": 9}}, "demo")
    assert "status" not in api.get("deployments.apps", "d", "demo")
    changed = copy_of(api.get("deployments.apps", "d", "demo"))
    changed["spec"]["replicas"], changed["status"] = 5, {"replicas": 2}
    status = await api.update("deployments.apps", changed, subresource="status")
    assert (status["spec"]["replicas"], status["status"]) == (1, {"replicas": 2})
    changed["metadata"]["resourceVersion"] = status["metadata"]["resourceVersion"]
    whole = await api.update("deployments.apps", {**changed, "status": {"replicas": 7}})
    assert (whole["spec"]["replicas"], whole["status"]) == (5, {"replicas": 2})


async def test_a_write_that_changes_nothing_is_no_change() -> None:
    api = await new_api()
    made = await api.create("configmaps", config_map(a="1"), "demo")
    assert await api.patch("configmaps", "c", "demo", {"data": {"a": "1"}}) is made


async def test_who_saw_an_older_version_gets_a_conflict() -> None:
    api = await new_api()
    first = await api.create("configmaps", config_map(a="1"), "demo")
    await api.patch("configmaps", "c", "demo", {"data": {"a": "2"}})
    with pytest.raises(Conflict, match="the object has been modified"):
        await api.update("configmaps", {**first, "data": {"a": "3"}})
    unconditional = copy_of(first)
    del unconditional["metadata"]["resourceVersion"]
    assert (await api.update("configmaps", {**unconditional, "data": {"a": "4"}}))["data"] == {"a": "4"}


@pytest.mark.parametrize(
    ("resource", "sent", "namespace"),
    [
        ("widgets.example.io", {"metadata": {"name": "x"}, "spec": {}}, "demo"),
        ("poddisruptionbudgets.policy", {"metadata": {"name": "x"}, "spec": {"maxUnavailable": 1}}, "demo"),
        ("leases.coordination.k8s.io", {"metadata": {"name": "x"}, "spec": {}}, "demo"),
        ("validatingwebhookconfigurations.admissionregistration.k8s.io", {"metadata": {"name": "x"}}, ""),
    ],
)
async def test_some_kinds_are_replaced_only_by_who_names_a_version(
    resource: str, sent: Obj, namespace: str
) -> None:
    api = await new_api()
    await api.create("customresourcedefinitions.apiextensions.k8s.io", definition())
    made = await api.create(resource, sent, namespace)
    changed = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    unconditional = copy_of(changed)
    del unconditional["metadata"]["resourceVersion"]
    words = r'"x" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update'
    with pytest.raises(Invalid, match=words):
        await api.update(resource, unconditional)
    with pytest.raises(Invalid, match=words):
        await api.patch(
            resource, "x", namespace, {"metadata": {"resourceVersion": None, "labels": {"a": "b"}}}
        )
    assert (await api.update(resource, changed))["metadata"]["labels"] == {"a": "b"}


async def test_an_object_made_anew_is_another_one() -> None:
    api = await new_api()
    first = await api.create("configmaps", config_map(), "demo")
    await api.delete("configmaps", "c", "demo")
    await api.create("configmaps", config_map(), "demo")
    stale = {**first, "metadata": {**first["metadata"], "resourceVersion": ""}}
    with pytest.raises(Conflict, match="UID in precondition"):
        await api.update("configmaps", stale)
    with pytest.raises(Conflict, match="uid"):
        await api.delete("configmaps", "c", "demo", uid=first["metadata"]["uid"])


async def test_finalizers_hold_what_is_deleted() -> None:
    api = await new_api()
    held = {"metadata": {"name": "c", "finalizers": ["example.io/hold"]}}
    await api.create("configmaps", held, "demo")
    marked = await api.delete("configmaps", "c", "demo")
    assert marked["metadata"]["deletionTimestamp"]
    gone = await api.patch("configmaps", "c", "demo", {"metadata": {"finalizers": None}})
    assert gone["metadata"]["name"] == "c"
    with pytest.raises(NotFound):
        api.get("configmaps", "c", "demo")


@pytest.mark.parametrize(
    ("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
async def test_propagation_becomes_a_finalizer(propagation: str, finalizer: str) -> None:
    api = await new_api()
    await api.create("deployments.apps", deployment(), "demo")
    marked = await api.delete("deployments.apps", "d", "demo", propagation=propagation)
    assert marked["metadata"]["finalizers"] == [finalizer]


async def test_pods_end_with_grace() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    api = await new_api(clock=lambda: now)
    await api.create("pods", pod(nodeName="one", terminationGracePeriodSeconds=20), "demo")
    marked = await api.delete("pods", "p", "demo")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:20Z"
    sooner = await api.delete("pods", "p", "demo", grace_seconds=5)
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
    later = await api.delete("pods", "p", "demo", grace_seconds=9)
    assert later["metadata"]["deletionGracePeriodSeconds"] == 5
    await api.delete("pods", "p", "demo", grace_seconds=0)
    assert api.list("pods")[0] == []


async def test_pods_without_a_node_go_at_once() -> None:
    api = await new_api()
    await api.create("pods", pod(), "demo")
    await api.delete("pods", "p", "demo")
    assert api.list("pods")[0] == []


async def test_pods_hardly_change() -> None:
    api = await new_api()
    await api.create("pods", pod(), "demo")
    await api.patch("pods", "p", "demo", {"spec": {"nodeName": "one"}})
    with pytest.raises(Invalid, match="pod updates may not change fields"):
        await api.patch("pods", "p", "demo", {"spec": {"nodeName": "two"}})
    with pytest.raises(Invalid, match="pod updates may not change fields"):
        await api.patch("pods", "p", "demo", {"spec": {"hostNetwork": True}})


async def test_namespaces_end_when_their_finalizer_is_taken_away() -> None:
    api = await new_api()
    marked = await api.delete("namespaces", "demo")
    assert marked["status"]["phase"] == "Terminating"
    with pytest.raises(Forbidden, match="is being terminated"):
        await api.create("configmaps", config_map(), "demo")
    await api.update(
        "namespaces", {**api.get("namespaces", "demo"), "spec": {"finalizers": []}}, subresource="finalize"
    )
    with pytest.raises(NotFound):
        api.get("namespaces", "demo")


async def test_some_namespaces_stay() -> None:
    api = await new_api("default")
    with pytest.raises(Forbidden, match="may not be deleted"):
        await api.delete("namespaces", "default")


async def test_a_trial_changes_nothing() -> None:
    api = await new_api()
    trial = await api.create("services", service(), "demo", dry_run=True)
    assert trial["spec"]["clusterIP"]
    assert api.list("services")[0] == []
    assert (await api.create("services", service("t"), "demo"))["spec"]["clusterIP"] == trial["spec"][
        "clusterIP"
    ]


async def test_writers_that_meet_do_not_lose_each_others_changes() -> None:
    api = await new_api()
    await api.create("configmaps", config_map(), "demo")
    await asyncio.gather(*(api.patch("configmaps", "c", "demo", {"data": {f"k{n}": "v"}}) for n in range(20)))
    assert len(api.get("configmaps", "c", "demo")["data"]) == 20


async def test_time_is_a_parameter() -> None:
    moments = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(100))
    api = await new_api(clock=lambda: next(moments))
    first = await api.create("configmaps", config_map("a"), "demo")
    second = await api.create("configmaps", config_map("b"), "demo")
    assert first["metadata"]["creationTimestamp"] < second["metadata"]["creationTimestamp"]
