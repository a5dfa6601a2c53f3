"""O1: what adapter prometheus counts, as Prometheus reads it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from mesh.mixer.adapters.prometheus import Prometheus, PrometheusParams, Types
from mesh.rules.adapter import Environment, Instance
from mesh.rules.types import ValueType

pytestmark = pytest.mark.behaviour("O1")

NAME = "calls.instance.weather"
TYPES: Types = {
    NAME: {"value": ValueType.INT64, "dimensions": {"user": ValueType.STRING, "code": ValueType.INT64}}
}
CALLS = {"name": "calls_total", "instance_name": NAME, "kind": "COUNTER", "label_names": ["user", "code"]}
TOOK = {
    "name": "took_milliseconds", "instance_name": NAME, "kind": "DISTRIBUTION", "label_names": [],
    "buckets": {"explicit_buckets": {"bounds": [10, 100]}},
}  # fmt: skip


class Rig:
    """Handlers of one process, one after another, with a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.registry = CollectorRegistry()

    def started(self, *metrics: dict[str, Any], **params: Any) -> Prometheus:
        given = PrometheusParams.model_validate({"metrics": list(metrics), **params})
        environment = Environment("own.weather", self.clock, self.clock, unused, self.registry, Path(), TYPES)
        made = Prometheus(given, environment)
        asyncio.run(made.start())
        return made

    def clock(self) -> float:
        return self.now


def unused(_: Any, name: str) -> None:
    raise AssertionError(f"task {name} is not expected")


def call(user: str, value: Any = 1, **more: Any) -> Instance:
    return Instance(NAME, "metric", {"value": value, "dimensions": {"user": user, "code": 200, **more}})


def read(adapter: Prometheus) -> dict[str, float]:
    """What a scrape gives: `name{labels}` to value."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(adapter.exposition()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_values_add_up_by_labels() -> None:
    adapter = Rig().started(CALLS)
    adapter.report([call("ann"), call('b"o\\b\n', 3), call("ann", 2)])
    assert read(adapter) == {
        "istio_calls_total{code=200,user=ann}": 3,
        'istio_calls_total{code=200,user=b"o\\b\n}': 3,
    }


def test_distributions_have_cumulative_buckets_and_durations_a_unit() -> None:
    adapter = Rig().started(TOOK)
    adapter.report([call("ann", timedelta(milliseconds=each)) for each in (10, 50, 5000)])
    assert read(adapter) == {
        "istio_took_milliseconds_bucket{le=10}": 1,
        "istio_took_milliseconds_bucket{le=100}": 2,
        "istio_took_milliseconds_bucket{le=+Inf}": 3,
        "istio_took_milliseconds_sum{}": 5060,
        "istio_took_milliseconds_count{}": 3,
    }


def test_idle_series_go_and_further_ones_are_dropped_and_counted() -> None:
    rig = Rig()
    policy = {"metrics_expiry_duration": "10s"}
    adapter = rig.started(CALLS, max_series=2, metrics_expiration_policy=policy)
    adapter.report([call("ann"), call("bob"), call("eve")])
    labels = {"handler": "own.weather", "metric": "istio_calls_total"}
    assert rig.registry.get_sample_value("mixer_prometheus_dropped_total", labels) == 1
    rig.now = 11
    adapter.report([call("eve")])
    assert read(adapter) == {"istio_calls_total{code=200,user=eve}": 1}


def test_a_change_of_the_handler_keeps_what_stays_the_same() -> None:
    rig = Rig()
    before = rig.started(CALLS)
    before.report([call("ann")])
    after = rig.started(CALLS, TOOK)
    before.report([call("ann")])  # a call that began before the change
    asyncio.run(before.close())
    after.report([call("ann")])
    assert read(after)["istio_calls_total{code=200,user=ann}"] == 3
    asyncio.run(after.close())
    assert read(rig.started(CALLS)) == {}


def test_labels_that_a_telemetry_adds() -> None:
    adapter = Rig().started(CALLS)
    adapter.report([call("ann", host="a"), call("ann")])
    assert set(read(adapter)) == {
        "istio_calls_total{code=200,host=a,user=ann}",
        "istio_calls_total{code=200,user=ann}",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [({"label_names": ["who"]}, "no dimension"), ({"name": "a-b"}, "no name"), ({"kind": "SUM"}, "kind")],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], words: str) -> None:
    from mesh.api.checks import faults

    try:
        params = PrometheusParams.model_validate({"metrics": [CALLS | change]})
    except ValueError as error:
        assert words in str(error)
        return
    found = [*faults(params, ""), *Prometheus.faults(params, TYPES)]
    assert any(words in str(each) for each in found), found
