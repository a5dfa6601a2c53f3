"""W9, T6: Gateways and the VirtualServices bound to them become listeners and routes of gateway proxies."""

from typing import Any

import pytest

from mesh.pilot.types import LDS, RDS
from tests.pilot.compile.world import DOMAIN, World, contains, gateway, sidecar

pytestmark = pytest.mark.behaviour("W9", "T6")

FRONTEND = f"outbound|3000||frontend.weather.{DOMAIN}"


def edge(
    hosts: str = "'*'", number: int = 80, protocol: str = "HTTP", name: str = "edge", **more: str
) -> str:
    further = "".join(f"\n      {key}: {value}" for key, value in more.items())
    return f"""
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
    - port: {{number: {number}, name: p, protocol: {protocol}}}
      hosts: [{hosts}]{further}
"""


def rule(
    hosts: str = "'*'", gateways: str = "edge", name: str = "frontend", match: str = "", **more: str
) -> str:
    further = "".join(f"\n  {key}: {value}" for key, value in more.items())
    conditions = f"match: [{match}], " if match else ""
    return f"""
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]
  gateways: [{gateways}]{further}
  http: [{{name: {name}, {conditions}route: [{{destination: {{host: frontend}}}}]}}]
"""


def world(*rules: str) -> World:
    return World(rules="---".join(rules))


def hosts(found: World, name: str = "http.8080") -> dict[str, Any]:
    return {each["name"]: each for each in found.routes(gateway(), name)["virtual_hosts"]}


def test_a_server_listens_on_the_port_behind_its_service_port() -> None:
    found = world(edge(), rule())
    assert list(found.all(gateway(), LDS)) == ["0.0.0.0_8080"]
    listener = found.listener(gateway(), "0.0.0.0_8080")
    assert "bind_to_port" not in listener
    handler = listener["filter_chains"][0]["filters"][0]["typed_config"]
    contains(handler, {"use_remote_address": True, "rds": {"route_config_name": "http.8080"}})


def test_a_port_that_the_service_does_not_have_is_taken_as_it_is() -> None:
    assert list(world(edge(number=8099), rule()).all(gateway(), LDS)) == ["0.0.0.0_8099"]


def test_a_server_may_listen_on_one_address() -> None:
    found = world(edge(bind="127.0.0.1"), rule())
    assert list(found.all(gateway(), LDS)) == ["127.0.0.1_8080"]
    assert found.named(gateway(), RDS, "http.8080.127.0.0.1")


def test_rules_are_found_by_gateway_and_host() -> None:
    found = hosts(world(edge(), rule("a.example")))
    assert set(found) == {"a.example:80"}
    assert found["a.example:80"]["domains"] == ["a.example"]
    assert found["a.example:80"]["routes"][0]["route"]["cluster"] == FRONTEND


def test_a_gateway_without_rules_answers_404() -> None:
    assert hosts(world(edge())) == {
        "blackhole:80": {"name": "blackhole:80", "domains": ["*"], "include_request_attempt_count": True}
    }


@pytest.mark.parametrize(
    ("served", "ruled", "common"),
    [
        ("'*'", "a.example", "a.example"),
        ("'*.example'", "a.example", "a.example"),
        ("a.example", "'*.example'", "a.example"),
        ("'*.b.example'", "'*.example'", "*.b.example"),
        ("b.example", "a.example", None),
        ("weather/a.example", "a.example", "a.example"),
        ("'*/a.example'", "a.example", "a.example"),
        ("./a.example", "a.example", "a.example"),
        ("other/a.example", "a.example", None),
    ],
)
def test_hosts_in_common(served: str, ruled: str, common: str | None) -> None:
    assert set(hosts(world(edge(served), rule(ruled)))) == {f"{common or 'blackhole'}:80"}


@pytest.mark.parametrize(
    ("gateways", "found"), [("edge", True), ("weather/edge", True), ("other/edge", False), ("mesh", False)]
)
def test_a_rule_names_its_gateways(gateways: str, found: bool) -> None:
    assert ("a.example:80" in hosts(world(edge(), rule("a.example", gateways)))) == found


def test_a_rule_for_a_gateway_does_not_hold_in_the_mesh() -> None:
    found = world(edge(), rule("frontend.weather." + DOMAIN))
    host = found.virtual_host(sidecar(), "3000", f"frontend.weather.{DOMAIN}:3000")
    assert host["routes"][0]["name"] == "default"


def test_matches_for_other_gateways_are_left_out() -> None:
    both = rule("a.example", "edge, mesh", match="{gateways: [mesh], uri: {prefix: /m}}, {gateways: [edge]}")
    routes = hosts(world(edge(), both))["a.example:80"]["routes"]
    assert [each["match"] for each in routes] == [{"prefix": "/"}]


def test_port_matches_are_on_the_servers_number() -> None:
    routes = hosts(world(edge(), rule(match="{port: 80}")))
    assert "*:80" in routes
    assert "blackhole:80" in hosts(world(edge(), rule(match="{port: 8080}")))


def test_rules_for_one_host_add_up_with_what_matches_all_last() -> None:
    found = hosts(
        world(edge(), rule("a.example", name="all"), rule("a.example", name="b", match="{uri: {prefix: /b}}"))
    )
    assert [each["name"] for each in found["a.example:80"]["routes"]] == ["b", "all"]


def test_a_gateway_is_for_the_proxies_that_it_selects() -> None:
    found = world(edge(), rule())
    assert found.all(gateway(istio="other"), LDS) == {}


def test_servers_of_several_gateways_share_a_port() -> None:
    found = world(
        edge("a.example"), edge("b.example", name="edge2"), rule("a.example"), rule("b.example", "edge2", "b")
    )
    assert set(hosts(found)) == {"a.example:80", "b.example:80"}


def test_where_gateways_disagree_on_a_protocol_the_older_wins() -> None:
    found = world(edge(), edge(protocol="TCP", name="later"), rule())
    listener = found.listener(gateway(), "0.0.0.0_8080")
    assert len(listener["filter_chains"]) == 1


def test_redirect_to_https() -> None:
    found = hosts(world(edge("a.example", tls="{httpsRedirect: true}")))
    contains(found, {"a.example:80": {"require_tls": "ALL", "domains": ["a.example"]}})


@pytest.mark.behaviour("T3")
def test_tcp() -> None:
    found = world(
        edge(number=31400, protocol="TCP"),
        """
kind: VirtualService
metadata: {name: tcp}
spec:
  hosts: ["*"]
  gateways: [edge]
  tcp: [{match: [{port: 31400}], route: [{destination: {host: frontend}}]}]
""",
    )
    listener = found.listener(gateway(), "0.0.0.0_31400")
    assert listener["filter_chains"][0]["filters"][0]["typed_config"]["cluster"] == FRONTEND


@pytest.mark.behaviour("T3")
def test_tls_is_passed_through_by_name() -> None:
    found = world(
        edge(number=443, protocol="TLS", tls="{mode: PASSTHROUGH}"),
        """
kind: VirtualService
metadata: {name: tls}
spec:
  hosts: [a.example]
  gateways: [edge]
  tls: [{match: [{port: 443, sniHosts: [a.example]}], route: [{destination: {host: frontend}}]}]
""",
    )
    chain = found.listener(gateway(), "0.0.0.0_8443")["filter_chains"][0]
    assert chain["filter_chain_match"] == {"server_names": ["a.example"], "transport_protocol": "tls"}


def test_a_gateway_that_is_gone_has_no_routes() -> None:
    found = world(edge(), rule())
    assert found.named(gateway(), RDS, "http.8080")
    found.remove_rule("Gateway", "edge")
    assert found.named(gateway(), RDS, "http.8080") == {}
    assert found.all(gateway(), LDS) == {}
