"""`meshctl mixer plan`: for each rule which way it goes, and why."""

from typing import Any

import pytest

from mesh.cli.mixer import row
from mesh.pilot.debug.mixer import plan
from tests.mixer.policy.rig import action, instance, rule, thing
from tests.pilot.compile.world import gateway, sidecar
from tests.pilot.mixer.mixed import CALLING, Mixed, deny, forecast

pytestmark = pytest.mark.behaviour("P4")


def planned(world: Mixed, name: str = "deny") -> Any:
    """The way of a rule."""
    proxies = [forecast("v1"), forecast("v2"), sidecar(), gateway()]
    found = {each["rule"]: each for each in plan(world.snapshot, world.compiler, proxies)}
    return found[name]


def test_compiled() -> None:
    found = planned(Mixed(*deny(match='destination.service.name == "forecast" && request.path == "/x"')))
    assert (found["way"], found["called"]) == ("compiled", [])
    assert found["compiled"] == ["forecast-v1.weather:3002", "forecast-v2.weather:3002"]


def test_call_and_why() -> None:
    found = planned(Mixed(*deny(match=CALLING)))
    assert found["way"] == "call"
    assert "source.labels is known to Mixer only" in found["why"]


def test_partly() -> None:
    match = f'destination.labels["version"] == "v1" || {CALLING}'
    found = planned(Mixed(*deny(match=match)))
    assert found["way"] == "partly"
    assert "forecast-v1.weather:3002" in found["compiled"]
    assert "forecast-v2.weather:3002" in found["called"]


def test_nowhere_because_it_matches_nothing() -> None:
    found = planned(Mixed(*deny(match='destination.service.name == "nothing"')))
    assert (found["way"], found["compiled"], found["called"]) == ("nowhere", [], [])
    assert "matches no workload" in found["why"]


def test_nowhere_because_checks_are_off() -> None:
    found = planned(Mixed(*deny(), disablePolicyChecks=True))
    assert found["way"] == "nowhere"
    assert "disablePolicyChecks: true" in found["why"]


def test_nowhere_because_it_cannot_be_followed() -> None:
    found = planned(Mixed(rule("lost", "", [action("nobody", "nothing")])), "lost")
    assert found["way"] == "nowhere"
    assert "spec.actions[0].handler: there is no handler nobody" in found["why"]


def test_header_operations_need_a_call() -> None:
    operations = [{"name": "x-a", "values": ['"1"']}]
    world = Mixed(rule("mark", 'request.method == "GET"', requestHeaderOperations=operations))
    assert planned(world, "mark")["why"] == "it changes headers"


def test_reports_cost_no_call() -> None:
    world = Mixed(
        thing("handler", "out", compiledAdapter="zipkin", params={"url": "http://zipkin:9411/api/v2/spans"}),
        instance("span", "tracespan", traceId='request.headers["x-b3-traceid"]'),
        rule("trace", "", [action("out", "span")]),
    )
    found = planned(world, "trace")
    assert found["way"] == "report", found


def test_what_the_table_shows() -> None:
    found = planned(Mixed(*deny(match='request.method == "PUT"')))
    assert row(found) == (
        "istio-system",
        "deny",
        "compiled",
        f"{found['compiled'][0]} and {len(found['compiled']) - 1} more",
        "-",
        "Envoy knows all that its match and its handlers need",
    )
