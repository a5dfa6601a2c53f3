"""A change of rules changes what it must; whatever else changes compiles nothing of rules anew."""

from collections.abc import Callable

import pytest

from mesh.model import ObjectKey
from mesh.pilot.mixer import ruleset
from mesh.pilot.types import CDS, LDS
from mesh.rules.resolve import resolve
from tests.mixer.policy.rig import instance
from tests.pilot.compile.world import sidecar
from tests.pilot.mixer.mixed import CALLING, Mixed, deny, forecast

pytestmark = pytest.mark.behaviour("P4")
OTHERS = """
- name: other
  namespace: elsewhere
  addresses: [10.1.0.77]
  ports: [{number: 80, name: http}]
  instances: [{address: 10.0.0.77}]
"""


class Counted:
    """How often something was called."""

    def __init__(self, inner: Callable[..., object]) -> None:
        self.inner, self.times = inner, 0

    def __call__(self, *args: object) -> object:
        self.times += 1
        return self.inner(*args)


def test_what_has_nothing_to_do_with_rules_puts_none_together(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = Counted(resolve)
    monkeypatch.setattr(ruleset, "resolve", resolved)
    world = Mixed(*deny(match=CALLING))
    before = world.all(forecast(), LDS)
    assert resolved.times == 1
    world.services(OTHERS)
    assert world.all(forecast(), LDS)["virtualInbound"] is before["virtualInbound"]
    assert resolved.times == 1


def test_a_rule_elsewhere_leaves_a_listener_the_very_same() -> None:
    world = Mixed(*deny(match='request.method == "PUT"'))
    before = world.all(forecast(), LDS)["virtualInbound"]
    world.give(*deny("further", namespace="elsewhere"))
    assert world.all(forecast(), LDS)["virtualInbound"] is before
    world.give(*deny("further", namespace="weather"))
    assert world.all(forecast(), LDS)["virtualInbound"] is not before


def test_a_rule_changes_no_clusters_and_nothing_of_callers() -> None:
    world = Mixed()
    clusters, listeners = world.all(forecast(), CDS), world.all(sidecar(), LDS)
    world.give(*deny(match='destination.service.host == "forecast.weather.svc.cluster.local"'))
    assert world.all(forecast(), CDS) == clusters
    assert world.all(sidecar(), LDS)["virtualInbound"] is listeners["virtualInbound"]


def test_an_instance_that_no_rule_names_changes_nothing() -> None:
    world = Mixed(*deny(match=CALLING))
    before = world.all(forecast(), LDS)
    world.give(instance("unused", "checknothing"))
    assert world.all(forecast(), LDS)["virtualInbound"] is before["virtualInbound"]


def test_replicas_share_what_they_get_until_a_rule_tells_them_apart() -> None:
    world = Mixed(*deny(match=CALLING))
    first, second = (world.all(forecast(version), LDS)["virtualInbound"] for version in ("v1", "v2"))
    assert first is second
    world.give(*deny("v2", 'destination.labels["version"] == "v2"'))
    first, second = (world.all(forecast(version), LDS)["virtualInbound"] for version in ("v1", "v2"))
    assert first.version != second.version


def test_decisions_of_a_place_are_equal_as_long_as_rules_mean_the_same() -> None:
    world = Mixed(*deny(match='request.method == "PUT" && destination.port == 3002'))
    before = world.all(forecast(), LDS)["virtualInbound"]
    world.give(*deny(match='destination.port == 3002 && request.method == "PUT"'))
    assert world.all(forecast(), LDS)["virtualInbound"] is before


def test_a_listener_names_the_objects_that_its_checks_came_from() -> None:
    world = Mixed(*deny(match='destination.labels["app"] == "forecast"'), *deny("elsewhere", "false"))
    every = set(world.all(forecast(), LDS)["virtualInbound"].origins)
    wanted = {
        ObjectKey("rule", "istio-system", "deny"),
        ObjectKey("handler", "istio-system", "no"),
        ObjectKey("instance", "istio-system", "nothing"),
    }
    assert wanted <= every
    assert ObjectKey("rule", "istio-system", "elsewhere") not in every
    world.namespace("weather", check="disable")
    assert not wanted & set(world.all(forecast(), LDS)["virtualInbound"].origins)
