"""X3: a change reaches every proxy that it affects, and no other."""

import pytest

from e2e.helpers import nonces, sent_since, split, virtual_service, with_proxy
from pytest_mesh import eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.mesh import Mesh

pytestmark = pytest.mark.behaviour("X3")


@pytest.fixture
def settled(weather: Weather) -> Mesh:
    """The mesh when nothing is on its way any more, and nobody on the way out."""
    mesh = weather.mesh
    eventually(lambda: set(mesh.pilot.proxies()) == with_proxy(mesh), 30)
    mesh.settle()
    return mesh


def sidecars(mesh: Mesh) -> set[str]:
    return {name for name, proxy in mesh.pilot.proxies().items() if proxy["kind"] == "sidecar"}


def names(sent: dict[str, list[Obj]]) -> set[str]:
    return {name for messages in sent.values() for message in messages for name in message["names"]}


def gateways(mesh: Mesh) -> set[str]:
    """Those that the rules for outside clients concern."""
    return {pod.id for pod in mesh.pods("istio-system", istio="ingressgateway")}


def test_a_rule_for_sidecars_reaches_all_of_them_and_no_gateway(settled: Mesh) -> None:
    before = nonces(settled)
    settled.apply(split(v1=100))
    sent = sent_since(settled, before)
    assert set(sent) == sidecars(settled)
    assert {message["type"] for messages in sent.values() for message in messages} == {"RDS"}
    assert {name for messages in sent.values() for message in messages for name in message["names"]} == {
        "3002"
    }


def test_a_rule_for_the_gateway_reaches_it_alone(settled: Mesh, weather: Weather) -> None:
    (route,) = [item for item in load(weather.rule("gateway")) if item["kind"] == "VirtualService"]
    route["spec"]["http"][0]["timeout"] = "9s"
    before = nonces(settled)
    settled.apply(route)
    assert set(sent_since(settled, before)) == gateways(settled)


def test_a_rule_that_changes_nothing_reaches_nobody(settled: Mesh) -> None:
    """A VirtualService for a gateway that does not exist, and an annotation on one that is in force."""
    before = nonces(settled)
    nowhere = [{"route": [{"destination": {"host": "forecast"}}]}]
    settled.apply(virtual_service("nowhere", "nowhere.example", nowhere, gateways=["no-such-gateway"]))
    assert sent_since(settled, before) == {}


def test_the_same_rule_again_reaches_nobody(settled: Mesh) -> None:
    settled.apply(split(v1=100))
    before = nonces(settled)
    again = split(v1=100)
    again["metadata"]["annotations"] = {"note": "the spec is the same"}
    settled.apply(again)
    assert sent_since(settled, before) == {}


def test_an_endpoint_reaches_those_who_call_it_as_endpoints_only(settled: Mesh) -> None:
    before = nonces(settled)
    settled.scale("weather", "recommendation-v1", 2)
    sent = sent_since(settled, before)
    known = {name: messages for name, messages in sent.items() if name in before}
    assert sidecars(settled) & set(before) <= set(known)
    assert names(known) == {"outbound|3005||recommendation.weather.svc.cluster.local"}
    assert {message["type"] for messages in known.values() for message in messages} == {"EDS"}


def test_a_service_kept_to_its_namespace_reaches_that_namespace_alone(settled: Mesh) -> None:
    before = nonces(settled)
    metadata = {
        "name": "private",
        "namespace": "weather",
        "annotations": {"networking.istio.io/exportTo": "."},
    }
    ports = [{"name": "tcp", "port": 7200}]
    settled.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}})
    assert set(sent_since(settled, before)) == {
        name for name in sidecars(settled) if name.endswith(".weather")
    }
