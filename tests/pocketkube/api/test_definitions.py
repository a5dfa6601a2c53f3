"""CustomResourceDefinitions: served at once, pruned, defaulted, checked, in several versions."""

from typing import Any

import pytest

from pocketkube.api.errors import BadRequest, Invalid, NotFound
from pocketkube.api.objects import Obj
from pocketkube.api.options import Options
from pocketkube.api.write.create import create
from tests.pocketkube.api.rig import definition, new_api

pytestmark = pytest.mark.behaviour("H1")
DEFINITIONS, WIDGETS = "customresourcedefinitions.apiextensions.k8s.io", "widgets.example.io"

SPEC: dict[str, Any] = {
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "default": 3},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "parts": {
            "type": "array",
            "items": {"type": "object", "properties": {"on": {"type": "boolean", "default": True}}},
        },
        "either": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def widget(**spec: Any) -> Obj:
    return {"metadata": {"name": "w"}, "spec": spec}


async def test_a_definition_is_served_at_once() -> None:
    api = await new_api()
    made = await api.create(DEFINITIONS, definition(**SPEC))
    assert {item["type"]: item["status"] for item in made["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert made["spec"]["names"]["listKind"] == "WidgetList"
    assert api.list(WIDGETS) == ([], api.core.store.revision)


async def test_defaults_and_pruning() -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    made = await api.create(
        WIDGETS, widget(parts=[{}], unknown=1, free={"any": {"thing": 1}}, labels={"a": "b"}), "demo"
    )
    assert made["spec"] == {
        "size": 3,
        "parts": [{"on": True}],
        "free": {"any": {"thing": 1}},
        "labels": {"a": "b"},
    }
    assert (made["apiVersion"], made["metadata"]["generation"]) == ("example.io/v1", 1)


async def test_strict_validation_names_unknown_fields() -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    sent = widget(parts=[{"of": 1}], unknown=1)
    with pytest.raises(BadRequest, match=r'unknown field "spec.parts\[0\].of", unknown field "spec.unknown"'):
        await create(api.core, api.resource(WIDGETS), sent, "demo", Options(validation="Strict"))
    options = Options(validation="Warn")
    await create(api.core, api.resource(WIDGETS), sent, "demo", options)
    assert options.warnings == ['unknown field "spec.parts[0].of"', 'unknown field "spec.unknown"']


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: 0 is less than the minimum of 1"),
        ({"size": "1"}, "spec.size must be of type integer, not string; write it without quotes"),
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"port": []}, "spec.port must be of type integer or string, not array"),
        ({"either": {}}, "none of the possibilities fits"),
        ({"either": {"a": "", "b": ""}}, "several possibilities fit"),
        ({"labels": {"a": 1}}, "spec.labels.a must be of type string"),
    ],
)
async def test_what_breaks_the_schema(spec: dict[str, Any], message: str) -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    with pytest.raises(Invalid) as refused:
        await api.create(WIDGETS, widget(**spec), "demo")
    assert message in refused.value.message
    assert 'Widget.example.io "w" is invalid' in refused.value.message


async def test_null_is_a_value_only_where_the_schema_says_so() -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    made = await api.create(WIDGETS, widget(note=None, size=None, port=80), "demo")
    assert made["spec"] == {"note": None, "size": 3, "port": 80}


async def test_versions_share_their_objects() -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    old = {"apiVersion": "example.io/v1alpha3", "kind": "Widget", **widget(size=2)}
    made = await create(api.core, api.resource(WIDGETS), old, "demo", Options(version="v1alpha3"))
    assert made["apiVersion"] == "example.io/v1"
    assert api.resource(WIDGETS).versions == ("v1", "v1alpha3")


async def test_status_is_a_part_of_its_own() -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    await api.create(WIDGETS, {**widget(), "status": {"n": 1}}, "demo")
    assert "status" not in api.get(WIDGETS, "w", "demo")
    done = await api.patch(
        WIDGETS, "w", "demo", {"status": {"n": 2}, "spec": {"size": 9}}, subresource="status"
    )
    assert (done["status"], done["spec"]["size"], done["metadata"]["generation"]) == ({"n": 2}, 3, 1)


async def test_a_changed_definition_holds_for_the_next_write() -> None:
    api = await new_api()
    made = await api.create(DEFINITIONS, definition(**SPEC))
    await api.create(WIDGETS, widget(size=7), "demo")
    tighter = definition(properties={"size": {"type": "integer", "maximum": 5}})
    tighter["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    await api.update(DEFINITIONS, tighter)
    with pytest.raises(Invalid, match="greater than the maximum of 5"):
        await api.patch(WIDGETS, "w", "demo", {"spec": {"size": 8}})


async def test_objects_go_with_their_definition() -> None:
    api = await new_api()
    await api.create(DEFINITIONS, definition(**SPEC))
    await api.create(WIDGETS, widget(), "demo")
    watch = api.watch_position(WIDGETS, since=api.core.store.revision)
    await api.delete(DEFINITIONS, "widgets.example.io")
    assert [event.type for event in watch.pending()] == ["DELETED"]
    with pytest.raises(NotFound, match="no resource"):
        api.list(WIDGETS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"name": "gadgets.example.io"}}, "must be spec.names.plural"),
        ({"spec": {"scope": "Galaxy"}}, "must be Namespaced or Cluster"),
        ({"spec": {"versions": []}}, "exactly one storage version"),
        ({"spec": {"versions": [{"name": "v1", "served": True, "storage": True}]}}, "schemas are required"),
        ({"spec": {"conversion": {"strategy": "Webhook"}}}, "use None"),
    ],
)
async def test_definitions_that_cannot_be(change: dict[str, Any], message: str) -> None:
    api, made = await new_api(), definition(**SPEC)
    for part, values in change.items():
        made[part].update(values)
    with pytest.raises(Invalid, match=message):
        await api.create(DEFINITIONS, made)
