"""G1, X2: the store keeps the last good version, and says why another is not in use."""

from typing import Any

import pytest

from mesh.galley import ConfigStore
from mesh.model import ObjectKey

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
