"""W2, M1: what is intercepted, by port, address and protocol."""

from typing import Any

import pytest

from mesh.api.meshconfig import MeshConfig, OutboundTrafficPolicy
from mesh.pilot.types import LDS, RDS
from tests.pilot.compile.world import DOMAIN, World, contains, sidecar

pytestmark = pytest.mark.behaviour("W2", "M1")

HCM = "envoy.filters.network.http_connection_manager"
TCP = "envoy.filters.network.tcp_proxy"


def service(name: str, number: int, protocol: str, address: str = "10.1.0.7", instances: str = "") -> str:
    return f"""
- name: {name}
  addresses: [{address}]
  ports: [{{number: {number}, name: '{protocol}'}}]
  instances: [{instances}]
"""


def listeners(world: World) -> set[str]:
    """The listeners, without the two that are always there."""
    return set(world.all(sidecar(), LDS)) - {"virtualOutbound", "virtualInbound"}


def chains(listener: Any) -> list[tuple[Any, str]]:
    """What each chain of filters is for, and what handles it."""
    return [
        (each.get("filter_chain_match", {}), each["filters"][-1]["name"])
        for each in listener["filter_chains"]
    ]


def handler(listener: Any, index: int = 0) -> Any:
    return listener["filter_chains"][index]["filters"][-1]["typed_config"]


# Outbound


def test_http_services_of_a_port_share_a_listener() -> None:
    world = World(service("a", 80, "http") + service("b", 80, "grpc", "10.1.0.8"))
    assert listeners(world) == {"0.0.0.0_80"}
    found = world.listener(sidecar(), "0.0.0.0_80")
    contains(found, {"bind_to_port": False, "traffic_direction": "OUTBOUND"})
    assert handler(found)["rds"]["route_config_name"] == "80"
    assert world.all(sidecar(), LDS)["0.0.0.0_80"].waits_for == {(RDS, "80")}


@pytest.mark.parametrize("protocol", ["tcp", "mysql", "redis", "mongo", "tls", "https"])
def test_tcp_services_have_a_listener_for_their_address(protocol: str) -> None:
    world = World(service("a", 3306, protocol))
    assert listeners(world) == {"10.1.0.7_3306"}
    found = world.listener(sidecar(), "10.1.0.7_3306")
    assert chains(found) == [({}, TCP)]
    assert handler(found)["cluster"] == f"outbound|3306||a.default.{DOMAIN}"


def test_http_and_tcp_may_share_a_number() -> None:
    world = World(service("a", 80, "http") + service("b", 80, "tcp", "10.1.0.8"))
    assert listeners(world) == {"0.0.0.0_80", "10.1.0.8_80"}


def test_an_unknown_protocol_is_found_out_from_the_first_bytes() -> None:
    found = World(service("a", 9000, "")).listener(sidecar(), "10.1.0.7_9000")
    assert [each["name"] for each in found["listener_filters"]] == [
        "envoy.filters.listener.tls_inspector", "envoy.filters.listener.http_inspector",
    ]  # fmt: skip
    http, plain, tcp = found["filter_chains"]
    assert http["filter_chain_match"]["application_protocols"] == ["http/1.0", "http/1.1", "h2c"]
    assert http["filter_chain_match"]["transport_protocol"] == "raw_buffer"
    assert plain["filter_chain_match"] == {"transport_protocol": "raw_buffer"}, "or Envoy finds no chain"
    assert plain["filters"] == tcp["filters"]
    assert http["filters"][0]["typed_config"]["rds"]["route_config_name"] == f"a.default.{DOMAIN}:9000"
    assert tcp["filters"][0]["typed_config"]["cluster"] == f"outbound|9000||a.default.{DOMAIN}"
    assert "filter_chain_match" not in tcp


def test_udp_is_not_intercepted() -> None:
    assert listeners(World(service("a", 53, "udp"))) == set()


def test_instances_of_headless_tcp_services_have_listeners() -> None:
    world = World(service("a", 6000, "tcp", "", "{address: 10.0.1.1}, {address: 10.0.1.2}"))
    assert listeners(world) == {"10.0.1.1_6000", "10.0.1.2_6000"}


def test_headless_http_is_on_the_ports_listener() -> None:
    assert listeners(World(service("a", 6000, "http", ""))) == {"0.0.0.0_6000"}


def test_headless_of_unknown_protocol_makes_the_ports_listener_look_first() -> None:
    found = World(service("a", 6000, "", "")).listener(sidecar(), "0.0.0.0_6000")
    assert [name for _, name in chains(found)] == [HCM, TCP, TCP]
    assert handler(found, 1)["cluster"] == "PassthroughCluster"


@pytest.mark.parametrize("port", [15001, 15006, 15021, 15090])
def test_the_proxys_own_ports_are_left_alone(port: int) -> None:
    assert listeners(World(service("a", port, "http"))) == set()


@pytest.mark.parametrize(
    ("mode", "cluster"), [("ALLOW_ANY", "PassthroughCluster"), ("REGISTRY_ONLY", "BlackHoleCluster")]
)
def test_what_has_no_listener(mode: Any, cluster: str) -> None:
    mesh = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy(mode=mode))
    found = World(mesh=mesh).listener(sidecar(), "virtualOutbound")
    contains(found, {"use_original_dst": True, "address": {"socket_address": {"port_value": 15001}}})
    assert chains(found) == [({"destination_port": 15001}, TCP), ({}, TCP)]
    assert handler(found)["cluster"] == "BlackHoleCluster"
    assert handler(found, 1)["cluster"] == cluster


# Rules for TCP and TLS


@pytest.mark.behaviour("T3")
def test_tcp_routes() -> None:
    world = World(service("a", 3306, "mysql") + service("b", 3306, "mysql", "10.1.0.8"))
    world.rules("""
    kind: VirtualService
    metadata: {name: a, namespace: default}
    spec:
      hosts: [a]
      tcp:
        - match: [{destinationSubnets: [10.1.0.7/32], port: 3306}]
          route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 3}]
        - match: [{port: 80}]
          route: [{destination: {host: b}}]
    """)
    found = world.listener(sidecar(), "10.1.0.7_3306")
    subnet = {"prefix_ranges": [{"address_prefix": "10.1.0.7", "prefix_len": 32}]}
    assert chains(found) == [(subnet, TCP), ({}, TCP)]
    assert handler(found)["weighted_clusters"]["clusters"] == [
        {"name": f"outbound|3306||a.default.{DOMAIN}", "weight": 1},
        {"name": f"outbound|3306||b.default.{DOMAIN}", "weight": 3},
    ]
    assert handler(found, 1)["cluster"] == f"outbound|3306||a.default.{DOMAIN}"


@pytest.mark.behaviour("T3")
def test_tls_routes_by_name() -> None:
    world = World(service("a", 443, "tls") + service("b", 443, "tls", "10.1.0.8"))
    world.rules("""
    kind: VirtualService
    metadata: {name: a, namespace: default}
    spec:
      hosts: [a]
      tls: [{match: [{sniHosts: [b.example]}], route: [{destination: {host: b}}]}]
    """)
    found = world.listener(sidecar(), "10.1.0.7_443")
    assert found["listener_filters"][0]["name"] == "envoy.filters.listener.tls_inspector"
    assert chains(found) == [({"server_names": ["b.example"], "transport_protocol": "tls"}, TCP), ({}, TCP)]


# Logs


@pytest.mark.behaviour("O2")
def test_access_logs_only_if_the_mesh_wants_them() -> None:
    assert "access_log" not in handler(World(service("a", 80, "http")).listener(sidecar(), "0.0.0.0_80"))
    mesh = MeshConfig(access_log_file="/dev/stdout", access_log_format="%METHOD%\n")
    found = handler(World(service("a", 80, "http"), mesh=mesh).listener(sidecar(), "0.0.0.0_80"))
    contains(
        found["access_log"][0]["typed_config"],
        {"path": "/dev/stdout", "log_format": {"text_format_source": {"inline_string": "%METHOD%\n"}}},
    )
