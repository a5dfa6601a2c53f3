"""The four kinds of patches."""

from typing import Any

import pytest

from pocketkube.api.errors import BadRequest, Conflict, Invalid, UnsupportedMediaType
from pocketkube.api.objects import Obj, copy_of
from pocketkube.api.patches.fieldset import Path, from_v1, readable, to_v1
from pocketkube.api.patches.merge import merge_patch
from pocketkube.api.patches.strategic import strategic_merge
from pocketkube.api.schemas.shape import shape_of_definition
from tests.pocketkube.api.rig import definition, deployment, new_api, service

pytestmark = pytest.mark.behaviour("H1")
POD = shape_of_definition("io.k8s.api.core.v1.PodSpec")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, "bar", "bar"),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    before = copy_of(target)
    assert merge_patch(target, patch) == result
    assert target == before


def containers(*items: Obj) -> Obj:
    return {"containers": list(items)}


def test_strategic_merge_knows_items_by_their_key() -> None:
    target = containers(
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}
    )
    patch = containers({"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]})
    merged = strategic_merge(target, patch, POD)
    assert merged["containers"] == [
        {"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "b", "image": "1"},
    ]


def test_strategic_merge_deletes_and_replaces_by_directive() -> None:
    target = containers({"name": "a"}, {"name": "b"})
    assert strategic_merge(target, containers({"name": "a", "$patch": "delete"}), POD) == containers(
        {"name": "b"}
    )
    replaced = strategic_merge(target, containers({"$patch": "replace"}, {"name": "c"}), POD)
    assert replaced == containers({"name": "c"})
    assert strategic_merge(
        {"securityContext": {"runAsUser": 1}}, {"securityContext": {"$patch": "replace", "fsGroup": 2}}, POD
    ) == {"securityContext": {"fsGroup": 2}}


def test_strategic_merge_orders_as_it_is_told() -> None:
    target = containers({"name": "a"}, {"name": "x"}, {"name": "b"})
    patch = {
        "containers": [{"name": "b", "image": "2"}],
        "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
    }
    names = [item["name"] for item in strategic_merge(target, patch, POD)["containers"]]
    assert names == ["b", "a", "x"]


def test_strategic_merge_keeps_only_what_it_is_told_to_retain() -> None:
    target = {"volumes": [{"name": "v", "emptyDir": {}}]}
    patch = {"volumes": [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]}
    assert strategic_merge(target, patch, POD) == {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}


def test_strategic_merge_of_values() -> None:
    meta = shape_of_definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    added = strategic_merge({"finalizers": ["a"]}, {"finalizers": ["b"]}, meta)
    assert added == {"finalizers": ["a", "b"]}
    assert strategic_merge(added, {"$deleteFromPrimitiveList/finalizers": ["a"]}, meta) == {
        "finalizers": ["b"]
    }


def test_an_item_without_its_key_is_named() -> None:
    with pytest.raises(BadRequest, match="lacks 'name'"):
        strategic_merge(containers({"name": "a"}), containers({"image": "x"}), POD)


async def test_custom_resources_take_no_strategic_merge() -> None:
    api = await new_api()
    await api.create("customresourcedefinitions.apiextensions.k8s.io", definition())
    await api.create("widgets.example.io", {"metadata": {"name": "w"}}, "demo")
    with pytest.raises(UnsupportedMediaType, match="merge-patch"):
        await api.patch("widgets.example.io", "w", "demo", {"spec": {}}, kind="strategic")


async def test_json_patches() -> None:
    api = await new_api()
    await api.create("deployments.apps", deployment(), "demo")
    operations = [
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
        {"op": "add", "path": "/metadata/labels", "value": {"a~b": "1"}},
    ]
    with pytest.raises(Invalid, match=r"metadata.labels"):
        await api.patch("deployments.apps", "d", "demo", operations, kind="json")
    patched = await api.patch("deployments.apps", "d", "demo", operations[:2], kind="json")
    assert patched["spec"]["replicas"] == 2
    with pytest.raises(Invalid, match="test failed"):
        await api.patch("deployments.apps", "d", "demo", operations[:1], kind="json")
    with pytest.raises(BadRequest, match="list of operations"):
        await api.patch("deployments.apps", "d", "demo", {"op": "x"}, kind="json")


def applied(image: str = "i:1", *ports: int) -> Obj:
    wanted = deployment(image=image)
    wanted["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": port} for port in ports]
    return wanted


async def test_apply_creates_and_then_changes() -> None:
    api = await new_api()
    made = await api.patch("deployments.apps", "d", "demo", applied("i:1", 80), kind="apply", manager="me")
    entry = made["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("me", "Apply", "apps/v1")
    again = await api.patch("deployments.apps", "d", "demo", applied("i:1", 80), kind="apply", manager="me")
    assert again is made
    changed = await api.patch("deployments.apps", "d", "demo", applied("i:2", 81), kind="apply", manager="me")
    container = changed["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], [port["containerPort"] for port in container["ports"]]) == ("i:2", [81])


async def test_apply_leaves_what_others_manage() -> None:
    api = await new_api()
    await api.patch("deployments.apps", "d", "demo", applied("i:1", 80), kind="apply", manager="me")
    await api.patch("deployments.apps", "d", "demo", {"spec": {"replicas": 5}}, manager="scaler")
    label = {"metadata": {"labels": {"team": "a"}}}
    await api.patch("deployments.apps", "d", "demo", label, kind="apply", manager="other")
    after = await api.patch("deployments.apps", "d", "demo", applied("i:2"), kind="apply", manager="me")
    assert (after["spec"]["replicas"], after["metadata"]["labels"]) == (5, {"team": "a"})
    assert "ports" not in after["spec"]["template"]["spec"]["containers"][0]
    gone = await api.patch("deployments.apps", "d", "demo", {"metadata": {}}, kind="apply", manager="other")
    assert "labels" not in gone["metadata"]


async def test_apply_says_who_is_in_the_way() -> None:
    api = await new_api()
    await api.patch("deployments.apps", "d", "demo", applied("i:1"), kind="apply", manager="me")
    image = '.spec.template.spec.containers[name="main"].image'
    with pytest.raises(Conflict) as refused:
        await api.patch("deployments.apps", "d", "demo", applied("i:2"), kind="apply", manager="you")
    assert refused.value.details["causes"][0]["field"] == image
    assert 'conflict with "me" using apps/v1' in refused.value.message


async def test_fields_without_an_owner_stay_when_a_manager_lets_go() -> None:
    api = await new_api()
    shared = {"metadata": {"labels": {"a": "1"}}}
    await api.create("services", service(), "demo")
    for manager in ("me", "you"):
        await api.patch("services", "s", "demo", shared, kind="apply", manager=manager)
    one = await api.patch("services", "s", "demo", {"metadata": {}}, kind="apply", manager="me")
    assert one["metadata"]["labels"] == {"a": "1"}


async def test_apply_needs_a_manager() -> None:
    api = await new_api()
    with pytest.raises(BadRequest, match="fieldManager: Required value"):
        await api.patch("services", "s", "demo", service(), kind="apply")


def test_field_sets_are_written_as_fields_v1() -> None:
    port: Path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:targetPort")
    paths = {port, (*port[:3], "."), ("f:metadata", "f:finalizers", 'v:"a"')}
    assert from_v1(to_v1(paths)) == paths
    assert readable(port) == '.spec.ports[port=80,protocol="TCP"].targetPort'
