"""X3: a change reaches every proxy that it affects, and no other."""

from collections.abc import Iterator

import pytest

from e2e.helpers import nonces, sent_since, split, virtual_service
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.mesh import Mesh

pytestmark = pytest.mark.behaviour("X3")


@pytest.fixture
def mesh(weather: Weather) -> Iterator[Mesh]:
    weather.mesh.settle()
    yield weather.mesh


def sidecars(mesh: Mesh) -> set[str]:
    return {name for name, proxy in mesh.pilot.proxies().items() if proxy["kind"] == "sidecar"}


def names(sent: dict[str, list[Obj]]) -> set[str]:
    return {name for messages in sent.values() for message in messages for name in message["names"]}


def gateways(mesh: Mesh) -> set[str]:
    return set(mesh.pilot.proxies()) - sidecars(mesh)


def test_a_rule_for_sidecars_reaches_all_of_them_and_no_gateway(mesh: Mesh) -> None:
    before = nonces(mesh)
    mesh.apply(split(v1=100))
    sent = sent_since(mesh, before)
    assert set(sent) == sidecars(mesh)
    assert {message["type"] for messages in sent.values() for message in messages} == {"RDS"}
    assert {name for messages in sent.values() for message in messages for name in message["names"]} == {
        "3002"
    }


def test_a_rule_for_the_gateway_reaches_it_alone(mesh: Mesh, weather: Weather) -> None:
    (route,) = [item for item in load(weather.rule("gateway")) if item["kind"] == "VirtualService"]
    route["spec"]["http"][0]["timeout"] = "9s"
    before = nonces(mesh)
    mesh.apply(route)
    assert set(sent_since(mesh, before)) == gateways(mesh)


def test_a_rule_that_changes_nothing_reaches_nobody(mesh: Mesh) -> None:
    """A VirtualService for a gateway that does not exist, and an annotation on one that is in force."""
    before = nonces(mesh)
    nowhere = [{"route": [{"destination": {"host": "forecast"}}]}]
    mesh.apply(virtual_service("nowhere", "nowhere.example", nowhere, gateways=["no-such-gateway"]))
    assert sent_since(mesh, before) == {}


def test_the_same_rule_again_reaches_nobody(mesh: Mesh) -> None:
    mesh.apply(split(v1=100))
    before = nonces(mesh)
    again = split(v1=100)
    again["metadata"]["annotations"] = {"note": "the spec is the same"}
    mesh.apply(again)
    assert sent_since(mesh, before) == {}


def test_an_endpoint_reaches_those_who_call_it_as_endpoints_only(mesh: Mesh) -> None:
    before = nonces(mesh)
    mesh.scale("weather", "recommendation-v1", 2)
    sent = sent_since(mesh, before)
    known = {name: messages for name, messages in sent.items() if name in before}
    assert sidecars(mesh) & set(before) <= set(known)
    assert names(known) == {"outbound|3005||recommendation.weather.svc.cluster.local"}
    assert {message["type"] for messages in known.values() for message in messages} == {"EDS"}


def test_a_service_kept_to_its_namespace_reaches_that_namespace_alone(mesh: Mesh) -> None:
    before = nonces(mesh)
    metadata = {
        "name": "private",
        "namespace": "weather",
        "annotations": {"networking.istio.io/exportTo": "."},
    }
    ports = [{"name": "tcp", "port": 7200}]
    mesh.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}})
    assert set(sent_since(mesh, before)) == sidecars(mesh)
