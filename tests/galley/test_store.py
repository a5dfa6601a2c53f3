"""G1, X2: the store keeps the last good version, and says why another is not in use."""

from collections.abc import Mapping
from typing import Any

import pytest

from mesh.api.parse import parse_object
from mesh.galley import ConfigStore
from mesh.model import ConfigObject, ObjectKey

pytestmark = pytest.mark.behaviour("G1")
KEY = ObjectKey("DestinationRule", "weather", "forecast")


def rule(version: str, host: Any = "forecast", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "forecast", "namespace": "weather", "resourceVersion": version, **metadata},
        "spec": {"host": host},
    }


def test_a_good_object_is_in_force_and_told() -> None:
    store = ConfigStore()
    told: list[frozenset[ObjectKey]] = []
    store.subscribe(told.append)
    store.put(rule("1"))
    assert store.objects()[KEY].spec.host == "forecast"
    assert (store.seen(KEY), store.rejected(KEY), told) == ("1", None, [frozenset({KEY})])


def test_a_bad_object_is_refused_and_the_last_good_one_stays() -> None:
    store = ConfigStore()
    store.put(rule("1"))
    store.put(rule("2", host="not a host"))
    assert store.objects()[KEY].spec.host == "forecast"
    assert store.seen(KEY) == "2"
    assert "not a host" in str(store.rejected(KEY))
    store.put(rule("3", host="other"))
    assert (store.objects()[KEY].spec.host, store.rejected(KEY)) == ("other", None)


def test_a_status_alone_leaves_the_same_value_in_force() -> None:
    store = ConfigStore()
    store.put(rule("1"))
    before = store.objects()[KEY]
    store.put(rule("2") | {"status": {"observedGeneration": 1}})
    assert store.objects()[KEY] is before
    assert store.seen(KEY) == "2"


def test_a_version_of_the_same_generation_is_not_read_again() -> None:
    parsed: list[Any] = []

    def parse(obj: Mapping[str, Any]) -> ConfigObject:
        parsed.append(obj)
        return parse_object(obj)

    store = ConfigStore(parse)
    store.put(rule("1", generation=1))
    before = store.objects()[KEY]
    store.put(rule("2", generation=1) | {"status": {"observedGeneration": 1}})
    assert (len(parsed), store.objects()[KEY] is before, store.seen(KEY)) == (1, True, "2")
    last = store.last(KEY)
    assert last is not None and (last.since, last.status) == ("1", {"observedGeneration": 1})
    for other in (
        rule("3", generation=1, labels={"a": "b"}),
        rule("4", host="other", generation=2),
        rule("5", host="other", generation=2, uid="another"),
    ):
        store.put(other)
        assert store.objects()[KEY] is not before
        before = store.objects()[KEY]
    assert len(parsed) == 4


def test_what_was_refused_stays_refused_when_its_status_says_so() -> None:
    store = ConfigStore()
    store.put(rule("1", host="a b", generation=1))
    store.put(rule("2", host="a b", generation=1) | {"status": {"conditions": []}})
    assert "a b" in str(store.rejected(KEY))
    store.put(rule("3", generation=2))
    assert store.rejected(KEY) is None


def test_replacing_a_kind_forgets_what_is_not_there() -> None:
    store = ConfigStore()
    told: list[frozenset[ObjectKey]] = []
    store.put(rule("1"))
    store.subscribe(told.append)
    store.replace("DestinationRule", [])
    assert (dict(store.objects()), store.seen(KEY), told) == ({}, None, [frozenset({KEY})])


def test_the_view_of_before_does_not_change() -> None:
    store = ConfigStore()
    before = store.objects()
    store.put(rule("1"))
    assert not before
