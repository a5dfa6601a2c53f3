"""M1, T1: which requests are for which service: names, addresses, ports; and what nobody knows."""

from dataclasses import replace

import pytest

from mesh.api.meshconfig import MeshConfig, OutboundTrafficPolicy
from tests.pilot.compile.world import DOMAIN, WEATHER, World, contains, sidecar

pytestmark = pytest.mark.behaviour("M1", "T1")

FORECAST = f"forecast.weather.{DOMAIN}"


def hosts(world: World, name: str = "3002", namespace: str = "weather") -> dict[str, list[str]]:
    """The domains of each virtual host."""
    found = world.routes(sidecar(namespace=namespace), name)
    return {each["name"]: each["domains"] for each in found["virtual_hosts"]}


def rule(name: str, hosts: str, to: str = "frontend", **more: str) -> str:
    further = "".join(f"\n  {key}: {value}" for key, value in more.items())
    return f"""
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]{further}
  http: [{{name: {name}, route: [{{destination: {{host: {to}}}}}]}}]
"""


def test_a_service_answers_to_all_of_its_names_and_its_address() -> None:
    assert hosts(World())[f"{FORECAST}:3002"] == [
        FORECAST, "forecast", "forecast.weather.svc", "forecast.weather", "10.1.0.2",
    ]  # fmt: skip


def test_ports_in_the_host_header_do_not_count() -> None:
    assert World().routes(sidecar(), "3002")["ignore_port_in_host_matching"] is True


def test_the_bare_name_is_for_its_own_namespace() -> None:
    assert "forecast" not in hosts(World(), namespace="elsewhere")[f"{FORECAST}:3002"]


def test_services_of_one_port_share_a_route_configuration() -> None:
    world = World(WEATHER + "\n- {name: b, addresses: [10.1.0.7], ports: [{number: 3002, name: grpc}]}")
    assert list(hosts(world)) == [f"b.default.{DOMAIN}:3002", f"{FORECAST}:3002", "allow_any"]


def test_a_name_that_two_services_have_is_the_first_ones() -> None:
    world = World(WEATHER + "\n- {name: b, addresses: [10.1.0.2], ports: [{number: 3002, name: http}]}")
    found = hosts(world)
    assert "10.1.0.2" in found[f"b.default.{DOMAIN}:3002"]
    assert "10.1.0.2" not in found[f"{FORECAST}:3002"]


def test_a_headless_service_answers_to_the_names_of_its_pods() -> None:
    world = World("- {name: head, namespace: weather, ports: [{number: 3002, name: http}]}")
    assert f"*.head.weather.{DOMAIN}" in hosts(world)[f"head.weather.{DOMAIN}:3002"]


def test_tcp_has_no_routes() -> None:
    world = World("- {name: db, addresses: [10.1.0.7], ports: [{number: 3306, name: mysql}]}")
    assert not world.named(sidecar(), "3306")


def test_unknown_hosts_pass_through() -> None:
    last = World().routes(sidecar(), "3002")["virtual_hosts"][-1]
    contains(last, {"name": "allow_any", "domains": ["*"]})
    assert last["routes"][0]["route"]["cluster"] == "PassthroughCluster"


def test_unknown_hosts_are_refused_if_the_mesh_says_so() -> None:
    mesh = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy(mode="REGISTRY_ONLY"))
    last = World(mesh=mesh).routes(sidecar(), "3002")["virtual_hosts"][-1]
    contains(last, {"name": "block_all", "routes": [{"direct_response": {"status": 502}}]})


def test_a_service_of_unknown_protocol_has_routes_of_its_own() -> None:
    world = World("- {name: guess, addresses: [10.1.0.7], ports: [{number: 9000}]}")
    assert hosts(world, f"guess.default.{DOMAIN}:9000") == {f"guess.default.{DOMAIN}:9000": ["*"]}


# Which rule


def chosen(world: World, namespace: str = "weather") -> str:
    """The name of the route that requests to forecast take."""
    host = world.virtual_host(sidecar(namespace=namespace), "3002", f"{FORECAST}:3002")
    return str(host["routes"][0]["name"])


@pytest.mark.parametrize(
    ("rules", "winner"),
    [
        ([rule("short", "forecast")], "short"),
        ([rule("whole", FORECAST)], "whole"),
        ([rule("wild", f"'*.weather.{DOMAIN}'")], "wild"),
        ([rule("wild", f"'*.weather.{DOMAIN}'"), rule("wilder", f"'*.{DOMAIN}'")], "wild"),
        ([rule("wild", f"'*.weather.{DOMAIN}'"), rule("exact", "forecast")], "exact"),
        ([rule("edge", "forecast", gateways="[edge]")], "default"),
        ([rule("both", "forecast", gateways="[edge, mesh]")], "both"),
        ([rule("private", "forecast", exportTo="['.']")], "private"),
        ([rule("given", "forecast", exportTo="[elsewhere]")], "default"),
        ([rule("other", "frontend")], "default"),
    ],
)
def test_the_most_specific_visible_rule_wins(rules: list[str], winner: str) -> None:
    assert chosen(World(rules="---".join(rules))) == winner


def test_of_two_rules_for_a_host_the_older_wins() -> None:
    old = rule("b-old", "forecast").replace("b-old}", "b-old, creationTimestamp: '2026-01-01T00:00:00Z'}")
    new = rule("a-new", "forecast").replace("a-new}", "a-new, creationTimestamp: '2026-01-02T00:00:00Z'}")
    assert chosen(World(rules=f"{new}---{old}")) == "b-old"


def test_a_rule_for_its_own_namespace_only() -> None:
    world = World(rules=rule("private", "forecast", exportTo="['.']"))
    assert chosen(world, "elsewhere") == "default"


def test_rules_for_hosts_that_are_no_services_hold_on_port_80() -> None:
    world = World(rules=rule("outside", "api.example.com"))
    host = world.virtual_host(sidecar(), "80", "api.example.com:80")
    assert host["domains"] == ["api.example.com"]
    assert "api.example.com:80" not in hosts(world)


def test_a_service_that_is_not_exported_here_has_no_host() -> None:
    world = World()
    world.put(replace(world.table.services()[FORECAST], export_to=frozenset({"other"})))
    assert not world.named(sidecar(), "3002")
