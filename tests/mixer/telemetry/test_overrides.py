"""O1: a Telemetry changes labels of metrics, removes them, and leaves metrics out."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.api.parse import parse_object
from mesh.galley.source.files import FileSource
from mesh.install.telemetry import telemetry_rules
from mesh.mixer.core import Following
from mesh.mixer.exposed import scraped
from mesh.mixer.handlers import Surroundings
from mesh.mixer.metrics import HandlerMetrics
from mesh.mixer.telemetry.overrides import overrides
from mesh.model import Labels
from mesh.rules.admission import judgement
from mesh.rules.registry import adapters
from mesh.rules.tags import KIND
from mesh.rules.templates import Variety
from tests.loops import run
from tests.mixer.policy.rig import write

pytestmark = pytest.mark.behaviour("O1")

COUNT = {"metric": "REQUEST_COUNT"}


def telemetry(
    name: str, *found: dict[str, Any], namespace: str = "weather", app: str = "", **more: Any
) -> dict[str, Any]:
    selector = {"selector": {"matchLabels": {"app": app}}} if app else {}
    return {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**selector, "metrics": [{"overrides": list(found), **more}]},
    }


def call(*, inbound: bool = True, app: str = "forecast") -> tuple[dict[str, Any], str]:
    """A request from the frontend to an app, as one side reports it."""
    values: dict[str, Any] = {
        "context.protocol": "http",
        "context.reporter.kind": "inbound" if inbound else "outbound",
        "request.host": "forecast:3002",
        "response.code": 200,
        "source.namespace": "weather",
        "source.labels": Labels({"app": "frontend", "version": "v1"}),
        "destination.namespace": "weather",
        "destination.labels": Labels({"app": app, "version": "v2"}),
    }
    return values, "weather"


async def counted(folder: Path, objects: list[dict[str, Any]], *calls: Any) -> tuple[list[str], Following]:
    """The lines of `istio_requests_total` after some calls."""
    write(folder / "rules.yaml", *telemetry_rules(), *objects)
    source = FileSource([folder / "rules.yaml"])
    source.read()
    surroundings = Surroundings(HandlerMetrics(CollectorRegistry()), folder)
    following = Following(source, adapters(), surroundings, [Variety.REPORT], reshaping=(KIND, overrides))
    await following.take()
    following.live.report(calls)
    text = scraped(each.adapter for each in following.live.running.values())
    return [line for line in text.splitlines() if line.startswith("istio_requests_total")], following


def lines(folder: Path, objects: list[dict[str, Any]], *calls: Any) -> list[str]:
    async def work() -> list[str]:
        return (await counted(folder, objects, *calls))[0]

    return run(work())


def test_without_one_nothing_is_changed(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, [], call())
    assert 'source_version="v1"' in line
    assert line.endswith(" 1")


def test_labels_are_set_and_removed(tmp_path: Path) -> None:
    tags = {
        "request_host": {"value": "request.host"},
        "fixed": {"value": "'of the test'"},
        "destination_version": {"operation": "UPSERT", "value": 'destination.labels["version"] + "!"'},
        "source_version": {"operation": "REMOVE"},
        "absent": {"value": "request.api_key"},
    }
    (line,) = lines(tmp_path, [telemetry("a", {"match": COUNT, "tagOverrides": tags})], call())
    assert 'request_host="forecast:3002"' in line
    assert 'fixed="of the test"' in line
    assert 'destination_version="v2!"' in line
    assert "source_version" not in line
    assert "absent" not in line


def test_as_many_labels_may_come_as_go(tmp_path: Path) -> None:
    tags = {"request_host": {"value": "request.host"}, "source_version": {"operation": "REMOVE"}}
    (line,) = lines(tmp_path, [telemetry("a", {"tagOverrides": tags})], call())
    assert 'request_host="forecast:3002"' in line
    assert "source_version" not in line


@pytest.mark.parametrize(
    ("match", "left"),
    [
        ({}, 0), ({"metric": "ALL_METRICS"}, 0), ({"metric": "REQUEST_COUNT", "mode": "SERVER"}, 1),
        ({"mode": "CLIENT"}, 1), ({"metric": "REQUEST_SIZE"}, 2), ({"customMetric": "requestcount"}, 0),
        ({"customMetric": "other"}, 2),
    ],
)  # fmt: skip
def test_metrics_are_left_out_by_name_and_side(tmp_path: Path, match: dict[str, Any], left: int) -> None:
    objects = [telemetry("a", {"match": match, "disabled": True})]
    assert len(lines(tmp_path, objects, call(), call(inbound=False))) == left


def test_what_is_narrower_comes_after_what_is_wider(tmp_path: Path) -> None:
    def tag(value: str) -> dict[str, Any]:
        return {"tagOverrides": {"scope": {"value": f"'{value}'"}, value: {"value": "'here'"}}}

    objects = [
        telemetry("all", tag("mesh"), {"disabled": True}, namespace="istio-system"),
        telemetry("most", tag("namespace"), {"disabled": False}),
        telemetry("some", tag("workload"), app="forecast"),
        telemetry("others", tag("other"), app="advertisement"),
        telemetry("elsewhere", tag("elsewhere"), namespace="default"),
    ]
    (line,) = lines(tmp_path, objects, call())
    assert 'scope="workload"' in line
    for there in ("mesh", "namespace", "workload"):
        assert f'{there}="here"' in line
    assert 'other="here"' not in line
    assert 'elsewhere="here"' not in line
    (line,) = lines(tmp_path, objects, call(app="advertisement"))
    assert 'scope="other"' in line


def test_another_provider_is_not_meant(tmp_path: Path) -> None:
    objects = [telemetry("a", {"disabled": True}, providers=[{"name": "stackdriver"}])]
    assert len(lines(tmp_path, objects, call())) == 1
    objects = [telemetry("a", {"disabled": True}, providers=[{"name": "prometheus"}])]
    assert not lines(tmp_path, objects, call())


def test_a_wrong_expression_is_told_and_changes_nothing(tmp_path: Path) -> None:
    tags = {"wrong": {"value": "request.hots"}, "right": {"value": "request.host"}}

    async def work() -> None:
        found, following = await counted(tmp_path, [telemetry("a", {"tagOverrides": tags})], call())
        (problem,) = following.problems
        assert "Telemetry weather/a: spec.metrics[0].overrides[0].tagOverrides.wrong.value: " in problem
        assert "request.host" in problem, "what was meant"
        (line,) = found
        assert 'right="forecast:3002"' in line
        assert "Telemetry/weather/a" in following.versions

    run(work())


@pytest.mark.behaviour("G1")
def test_a_wrong_expression_is_refused_with_its_place() -> None:
    tags = {"wrong": {"value": "request.hots"}, "right": {"value": "'a'"}, "gone": {"operation": "REMOVE"}}
    found = judgement(parse_object(telemetry("a", {"tagOverrides": tags})), {}, {})
    (problem,) = found.errors
    assert problem.path == "spec.metrics[0].overrides[0].tagOverrides.wrong.value"
    assert "at character 1" in problem.message
    assert "request.host" in problem.remedy
