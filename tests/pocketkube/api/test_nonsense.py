"""Whatever comes, what leaves is an object or an ApiError: nothing breaks with a traceback."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketkube.api.builtin import BUILTIN
from pocketkube.api.errors import ApiError
from pocketkube.api.objects import Obj, copy_of
from tests import loops
from tests.pocketkube.api.rig import config_map, definition, deployment, new_api, pod, service

pytestmark = pytest.mark.behaviour("H1")
RESOURCES = [f"{row.plural}.{row.group}" if row.group else row.plural for row in BUILTIN if not row.review]
PARTS: list[Any] = [None, {}, [], "x", 1, [1], [{}], {"a": None}]
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


async def attempt(resource: str, obj: Any) -> None:
    api = await new_api()
    try:
        made = await api.create(resource, obj, "demo" if api.resource(resource).namespaced else "")
        await api.update(resource, copy_of(made))
        await api.delete(resource, made["metadata"]["name"], made["metadata"].get("namespace", ""))
    except ApiError as error:
        assert error.message


@pytest.mark.parametrize("resource", RESOURCES)
async def test_parts_of_every_kind_that_are_not_what_they_should_be(resource: str) -> None:
    fields = (
        "spec",
        "status",
        "data",
        "webhooks",
        "subsets",
        "rules",
        "ports",
        "roleRef",
        "subjects",
        "endpoints",
    )
    for value in PARTS:
        for field in fields:
            await attempt(resource, {"metadata": {"name": "x"}, field: value})


@pytest.mark.parametrize("metadata", PARTS)
async def test_metadata_that_is_none(metadata: Any) -> None:
    await attempt("configmaps", {"metadata": metadata})
    await attempt("configmaps", {"metadata": {"name": "x", "labels": metadata, "annotations": metadata}})
    await attempt("configmaps", {"metadata": {"name": metadata, "generateName": metadata}})
    await attempt("configmaps", {"metadata": {"name": "x", "namespace": metadata}})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be put in an object."""
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in [(*path, key), *places(item, (*path, key))]]
    if isinstance(value, list):
        return [place for at, item in enumerate(value) for place in [(*path, at), *places(item, (*path, at))]]
    return []


def put(obj: Obj, path: tuple[Any, ...], value: Any) -> Obj:
    result = copy_of(obj)
    holder: Any = result
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return result


SAMPLES: list[tuple[str, Obj]] = [
    ("pods", pod(volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}]}}])),
    ("deployments.apps", deployment()),
    ("services", service(ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], type="LoadBalancer")),
    ("configmaps", config_map(a="b")),
    (DEFINITIONS, definition(properties={"size": {"type": "integer"}})),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_anything_anywhere(data: st.DataObject) -> None:
    resource, sample = data.draw(st.sampled_from(SAMPLES))
    path = data.draw(st.sampled_from(places(sample)))
    loops.run(attempt(resource, put(sample, path, data.draw(JSON))))


@pytest.mark.parametrize("kind", ["merge", "strategic", "json", "apply"])
async def test_patches_that_make_no_sense(kind: str) -> None:
    sent = [*PARTS, {"metadata": None}, {"metadata": []}, {"spec": None}, {"spec": {"template": None}}]
    sent += [
        [{"op": "replace", "path": "", "value": 1}],
        [{"op": "remove", "path": "/spec"}],
        {"spec": {"replicas": {}}},
    ]
    sent += [{"spec": {"template": {"spec": {"containers": value}}}} for value in PARTS]
    for value in sent:
        api = await new_api()
        await api.create("deployments.apps", deployment(), "demo")
        try:
            await api.patch("deployments.apps", "d", "demo", value, kind=kind, manager="me")
        except ApiError as error:
            assert error.message
