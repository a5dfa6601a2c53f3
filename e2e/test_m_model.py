"""M1 to M3: what Pilot makes of Kubernetes' Services and Pods."""

from typing import Any

import pytest

import weather as demo
from e2e.helpers import FORECAST, slice_addresses
from pytest_mesh import all_ok, body_has
from pytest_mesh.demo import Weather

PROTOCOLS = {
    "http": "HTTP",
    "http-web": "HTTP",
    "http2": "HTTP2",
    "grpc-api": "GRPC",
    "grpc-web-ui": "GRPC-Web",
    "https": "HTTPS",
    "tls-x": "TLS",
    "tcp": "TCP",
    "mongo-db": "Mongo",
    "redis": "Redis",
    "mysql": "MySQL",
    "web": "AUTO",
}


@pytest.mark.behaviour("M1")
def test_the_protocol_of_a_port_comes_from_its_name_or_app_protocol(weather: Weather) -> None:
    ports: list[dict[str, Any]] = [
        {"name": name, "port": 7000 + number} for number, name in enumerate(PROTOCOLS)
    ]
    ports += [
        {"name": "udp-x", "port": 7100, "protocol": "UDP"},
        {"name": "http-but", "port": 7101, "appProtocol": "redis"},
        {"name": "plain", "port": 7102, "appProtocol": "kubernetes.io/h2c"},
    ]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ports", "namespace": "weather"}}
    weather.mesh.apply({**service, "spec": {"ports": ports}})
    found = weather.mesh.pilot.get("/debug/registry")["services"]["ports.weather.svc.cluster.local"]
    assert found["name"] == "ports"
    assert found["namespace"] == "weather"
    seen = {port["name"]: port["protocol"] for port in found["ports"]}
    assert seen == {**PROTOCOLS, "udp-x": "UDP", "http-but": "Redis", "plain": "HTTP2"}
    assert {port["name"]: port["number"] for port in found["ports"]} == {
        port["name"]: port["port"] for port in ports
    }


@pytest.mark.behaviour("M1")
def test_a_port_that_says_nothing_is_judged_by_the_first_bytes(weather: Weather) -> None:
    weather.mesh.apply(demo.FOLDER / "extra" / "echo.yaml")
    (answer,) = weather.client.get("http://echo:81/x").check(all_ok(), body_has("path", "/x"))
    assert answer.headers["server"] == "envoy", "HTTP on an unnamed port must be handled as HTTP"
    (line,) = weather.client.send("tcp://echo:91", "plain words").check(all_ok())
    assert line.body.endswith(" plain words")


@pytest.mark.behaviour("M2")
def test_versions_become_subsets_with_their_own_instances(weather: Weather) -> None:
    proxy = weather.client.pod.proxy
    for version in ("v1", "v2"):
        pod = weather.pod("forecast", version)
        endpoints = proxy.endpoints(f"outbound|3002|{version}|{FORECAST}")
        assert set(endpoints) == {f"{pod.address}:3002"}


@pytest.mark.behaviour("M3")
def test_instances_carry_endpoint_labels_locality_and_account(weather: Weather) -> None:
    registry = weather.mesh.pilot.get("/debug/registry")
    instances = next(v for k, v in registry["instances"].items() if FORECAST in k and "3002" in k)
    assert {f"{each['address']}:{each['port']}" for each in instances} == slice_addresses(weather.mesh)
    nodes = {node["metadata"]["name"]: node["metadata"]["labels"] for node in weather.mesh.api.items("Node")}
    for version in ("v1", "v2"):
        pod = weather.pod("forecast", version)
        (instance,) = [each for each in instances if each["address"] == pod.address]
        node = nodes[pod.item["spec"]["nodeName"]]
        assert instance["labels"]["app"] == "forecast"
        assert instance["labels"]["version"] == version
        assert instance["locality"]["region"] == node["topology.kubernetes.io/region"]
        assert instance["locality"]["zone"] == node["topology.kubernetes.io/zone"]
        assert "forecast" in instance["service_account"]
        assert instance["healthy"] is True
