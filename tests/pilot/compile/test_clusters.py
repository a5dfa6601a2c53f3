"""M2, W4, T4, T5: services, subsets and DestinationRules become clusters."""

from typing import Any

import pytest

from mesh.model import Labels
from mesh.pilot.types import CDS
from tests.pilot.compile.world import DOMAIN, World, contains, gateway, sidecar

pytestmark = pytest.mark.behaviour("T4")

FORECAST = f"forecast.weather.{DOMAIN}"
NAME = f"outbound|3002||{FORECAST}"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def destination(policy: str, *, name: str = "forecast", namespace: str = "weather", **more: str) -> str:
    further = "".join(f"\n  {key}: {value}" for key, value in {"host": FORECAST, **more}.items())
    return f"""
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:{further}
  trafficPolicy: {{{policy}}}
"""


def cluster(policy: str, name: str = NAME, **more: str) -> Any:
    return World(rules=destination(policy, **more)).cluster(sidecar(), name)


def port(name: str) -> str:
    return f"- {{name: a, addresses: [10.1.0.7], ports: [{{number: 80, name: '{name}'}}]}}"


@pytest.mark.behaviour("M2")
def test_names() -> None:
    rule = destination("", subsets="[{name: v1, labels: {version: v1}}]")
    assert set(World(rules=rule).all(sidecar(), CDS)) == {
        *(f"outbound|{n}||istio-ingressgateway.istio-system.{DOMAIN}" for n in (80, 443, 31400)),
        f"outbound|3002||{FORECAST}",
        f"outbound|3002|v1|{FORECAST}",
        f"outbound|3000||frontend.weather.{DOMAIN}",
        "inbound|3000||",
        "BlackHoleCluster",
        "InboundPassthroughCluster",
        "PassthroughCluster",
    }


def test_a_gateway_has_the_services_but_nothing_inbound() -> None:
    found = World().all(gateway(), CDS)
    assert NAME in found
    assert not [name for name in found if name.startswith(("inbound", "Inbound", "Passthrough"))]


def test_a_plain_cluster() -> None:
    found = World().cluster(sidecar(), NAME)
    contains(
        found,
        {
            "type": "EDS",
            "eds_cluster_config": {"service_name": NAME, "eds_config": {"ads": {}}},
            "connect_timeout": "10s",
            "lb_policy": "LEAST_REQUEST",
        },
    )
    assert found["circuit_breakers"]["thresholds"][0]["max_connections"] == 4294967295
    services = found["metadata"]["filter_metadata"]["istio"]["services"]
    assert services == [{"host": FORECAST, "name": "forecast", "namespace": "weather"}]


def test_it_says_which_rule_it_comes_from() -> None:
    found = cluster("", "outbound|3002|v1|" + FORECAST, subsets="[{name: v1, labels: {version: v1}}]")
    contains(
        found["metadata"]["filter_metadata"]["istio"],
        {
            "config": "/apis/networking.istio.io/v1/namespaces/weather/destination-rule/forecast",
            "subset": "v1",
        },
    )


# Load balancing


@pytest.mark.behaviour("W4")
@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("{simple: ROUND_ROBIN}", {}),  # Envoy's first value, which is not written
        ("{simple: RANDOM}", {"lb_policy": "RANDOM"}),
        ("{simple: LEAST_REQUEST}", {"lb_policy": "LEAST_REQUEST"}),
        ("{simple: LEAST_CONN}", {"lb_policy": "LEAST_REQUEST"}),
        ("{simple: PASSTHROUGH}", {"lb_policy": "CLUSTER_PROVIDED", "type": "ORIGINAL_DST"}),
        (
            "{consistentHash: {httpHeaderName: u}}",
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": "1024"}},
        ),
        (
            "{consistentHash: {httpHeaderName: u, maglev: {tableSize: 101}}}",
            {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": "101"}},
        ),
        (
            "{simple: ROUND_ROBIN, warmupDurationSecs: 30s}",
            {"round_robin_lb_config": {"slow_start_config": {"slow_start_window": "30s"}}},
        ),
    ],
)
def test_balancer(policy: str, wanted: object) -> None:
    found = cluster(f"loadBalancer: {policy}")
    contains(found, wanted)
    if wanted == {}:
        assert "lb_policy" not in found


@pytest.mark.behaviour("W4")
def test_places_are_weighed_only_where_they_are_distributed() -> None:
    assert "common_lb_config" not in World().cluster(sidecar(), NAME)
    to = "{from: '*', to: {eu/*: 70, us/*: 30}}"
    found = cluster(f"loadBalancer: {{localityLbSetting: {{distribute: [{to}]}}}}")
    assert "locality_weighted_lb_config" in found["common_lb_config"]


def test_the_callers_choice_needs_no_endpoints() -> None:
    world = World(rules=destination("loadBalancer: {simple: PASSTHROUGH}"))
    assert world.all(sidecar(), CDS)[NAME].waits_for == frozenset()


# Limits


@pytest.mark.behaviour("T5")
def test_connection_pool() -> None:
    found = cluster("""
      connectionPool: {
        tcp: {maxConnections: 1, connectTimeout: 2s, tcpKeepalive: {time: 60s}, maxConnectionDuration: 3s},
        http: {http1MaxPendingRequests: 4, http2MaxRequests: 5, maxRetries: 6, maxRequestsPerConnection: 7,
               idleTimeout: 8s}}
    """)
    contains(
        found,
        {
            "connect_timeout": "2s",
            "circuit_breakers": {
                "thresholds": [
                    {"max_connections": 1, "max_pending_requests": 4, "max_requests": 5, "max_retries": 6}
                ]
            },
            "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 60}},
        },
    )
    assert found["typed_extension_protocol_options"][OPTIONS]["common_http_protocol_options"] == {
        "idle_timeout": "8s",
        "max_requests_per_connection": 7,
        "max_connection_duration": "3s",
    }


@pytest.mark.behaviour("T5")
def test_outlier_detection() -> None:
    found = cluster("""
      outlierDetection: {consecutive5xxErrors: 3, consecutiveGatewayErrors: 0, interval: 1s,
                         baseEjectionTime: 5s, maxEjectionPercent: 100, minHealthPercent: 20}
    """)
    assert found["outlier_detection"] == {
        "consecutive_5xx": 3,
        "enforcing_consecutive_5xx": 100,
        "consecutive_gateway_failure": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_percent": 100,
    }
    assert found["common_lb_config"]["healthy_panic_threshold"] == {"value": 20}


def test_nothing_is_ejected_unless_asked() -> None:
    assert "outlier_detection" not in World().cluster(sidecar(), NAME)


# Protocols


@pytest.mark.behaviour("M1")
@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("http", None),
        ("tcp", None),
        ("grpc", {"explicit_http_config": {"http2_protocol_options": {}}}),
        ("http2-web", {"explicit_http_config": {"http2_protocol_options": {}}}),
        ("", {"use_downstream_protocol_config": {}}),
    ],
)
def test_http_version(protocol: str, options: object) -> None:
    found = World(port(protocol)).cluster(sidecar(), f"outbound|80||a.default.{DOMAIN}")
    if options is None:
        assert "typed_extension_protocol_options" not in found
    else:
        contains(found["typed_extension_protocol_options"][OPTIONS], options)


def test_upgrade_to_http2() -> None:
    found = cluster("connectionPool: {http: {h2UpgradePolicy: UPGRADE}}")
    contains(
        found["typed_extension_protocol_options"][OPTIONS],
        {"explicit_http_config": {"http2_protocol_options": {}}},
    )


@pytest.mark.behaviour("M1")
def test_udp_has_no_cluster() -> None:
    assert not [name for name in World(port("udp")).all(sidecar(), CDS) if "outbound" in name]


@pytest.mark.behaviour("M1")
def test_callers_of_headless_services_choose_the_instance() -> None:
    world = World("- {name: head, ports: [{number: 80, name: http}]}")
    found = world.cluster(sidecar(), f"outbound|80||head.default.{DOMAIN}")
    contains(found, {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"})


# Subset, port, namespace


SUBSETS = """[
  {name: v1, labels: {version: v1}},
  {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: RANDOM}}},
  {name: v3, trafficPolicy: {portLevelSettings: [{port: {number: 3002}, loadBalancer: {simple: RANDOM}}]}}]"""


@pytest.mark.behaviour("M2")
@pytest.mark.parametrize(
    ("subset", "balancer", "ejects"),
    [("v1", "LEAST_REQUEST", True), ("v2", "RANDOM", True), ("v3", "RANDOM", False)],
)
def test_a_subset_takes_over_what_it_does_not_say_but_a_port_does_not(
    subset: str, balancer: str, ejects: bool
) -> None:
    policy = "loadBalancer: {simple: LEAST_REQUEST}, outlierDetection: {consecutive5xxErrors: 3}"
    found = cluster(policy, f"outbound|3002|{subset}|{FORECAST}", subsets=SUBSETS)
    assert found["lb_policy"] == balancer
    assert ("outlier_detection" in found) == ejects


def test_settings_of_another_port_do_not_count() -> None:
    policy = "portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]"
    assert cluster(policy)["lb_policy"] == "LEAST_REQUEST"


def balancer_in(namespace: str, *rules: str, **labels: str) -> str:
    proxy = sidecar(namespace=namespace, labels=Labels(labels))
    return str(World(rules="---".join(rules)).cluster(proxy, NAME).get("lb_policy", "ROUND_ROBIN"))


CALLERS = destination("loadBalancer: {simple: RANDOM}", namespace="caller")
SERVICES = destination("loadBalancer: {simple: ROUND_ROBIN}")
ROOTS = destination("loadBalancer: {simple: PASSTHROUGH}", namespace="istio-system")


def test_the_callers_namespace_goes_first_then_the_services_then_the_root() -> None:
    assert balancer_in("caller", CALLERS, SERVICES, ROOTS) == "RANDOM"
    assert balancer_in("caller", SERVICES, ROOTS) == "ROUND_ROBIN"
    assert balancer_in("caller", ROOTS) == "CLUSTER_PROVIDED"
    assert balancer_in("other", CALLERS) == "LEAST_REQUEST"


def test_rules_for_their_own_namespace_only() -> None:
    private = destination("loadBalancer: {simple: ROUND_ROBIN}", exportTo="['.']")
    assert balancer_in("weather", private) == "ROUND_ROBIN"
    assert balancer_in("caller", private) == "LEAST_REQUEST"


def test_rules_for_chosen_workloads() -> None:
    chosen = destination("loadBalancer: {simple: RANDOM}", workloadSelector="{matchLabels: {app: a}}")
    assert balancer_in("weather", chosen, app="a") == "RANDOM"
    assert balancer_in("weather", chosen, app="b") == "LEAST_REQUEST"


def test_the_most_specific_host_wins() -> None:
    wild = destination("loadBalancer: {simple: RANDOM}", name="wild", host=f"'*.{DOMAIN}'")
    narrow = destination("loadBalancer: {simple: ROUND_ROBIN}", name="n", host=f"'*.weather.{DOMAIN}'")
    assert balancer_in("weather", wild) == "RANDOM"
    assert balancer_in("weather", wild, narrow) == "ROUND_ROBIN"
    assert balancer_in("weather", wild, narrow, destination("")) == "LEAST_REQUEST"


def test_rules_for_one_host_add_up() -> None:
    first = destination(
        "loadBalancer: {simple: RANDOM}", name="a", subsets="[{name: v1, labels: {version: v1}}]"
    )
    second = destination(
        "loadBalancer: {simple: ROUND_ROBIN}", name="b", subsets="[{name: v2, labels: {version: v2}}]"
    )
    world = World(rules=f"{first}---{second}")
    for subset in ("v1", "v2"):
        assert world.cluster(sidecar(), f"outbound|3002|{subset}|{FORECAST}")["lb_policy"] == "RANDOM"


# Inbound


def test_a_sidecar_reaches_its_workload_from_its_own_source() -> None:
    contains(
        World().cluster(sidecar(), "inbound|3000||"),
        {
            "type": "ORIGINAL_DST",
            "upstream_bind_config": {"source_address": {"address": "127.0.0.6"}},
        },
    )
