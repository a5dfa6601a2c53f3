"""T1, T2, W5: VirtualServices become the routes that they say, in their order."""

import pytest

from mesh.model import Labels
from tests.pilot.compile.world import DOMAIN, World, contains, sidecar

pytestmark = pytest.mark.behaviour("T1", "T2", "W5")

FORECAST = f"forecast.weather.{DOMAIN}"
V1, V2 = (f"outbound|3002|{version}|{FORECAST}" for version in ("v1", "v2"))
TO_V1 = "route: [{destination: {host: forecast, subset: v1}}]"


def matches(condition: str) -> object:
    """Envoy's match of one condition."""
    return World().rule_routes(f"- match: [{condition}]\n  {TO_V1}")[0]["match"]


# Match


@pytest.mark.parametrize(
    ("condition", "match"),
    [
        ("{uri: {exact: /a}}", {"path": "/a"}),
        ("{uri: {prefix: /a}}", {"prefix": "/a"}),
        ("{uri: {regex: '/a.*'}}", {"safe_regex": {"regex": "/a.*"}}),
        ("{uri: {prefix: /a}, ignoreUriCase: true}", {"prefix": "/a", "case_sensitive": False}),
        ("{}", {"prefix": "/"}),
    ],
)
def test_path(condition: str, match: object) -> None:
    assert matches(condition) == match


@pytest.mark.parametrize(
    ("condition", "header"),
    [
        ("{headers: {user: {exact: a}}}", {"name": "user", "string_match": {"exact": "a"}}),
        ("{headers: {user: {prefix: a}}}", {"name": "user", "string_match": {"prefix": "a"}}),
        ("{headers: {user: {regex: a+}}}", {"name": "user", "string_match": {"safe_regex": {"regex": "a+"}}}),
        ("{headers: {user: {}}}", {"name": "user", "present_match": True}),
        ("{withoutHeaders: {user: {}}}", {"name": "user", "present_match": True, "invert_match": True}),
        (
            "{withoutHeaders: {user: {exact: a}}}",
            {
                "name": "user",
                "string_match": {"exact": "a"},
                "invert_match": True,
                "treat_missing_header_as_empty": True,
            },
        ),
        ("{method: {exact: POST}}", {"name": ":method", "string_match": {"exact": "POST"}}),
        ("{authority: {prefix: a.}}", {"name": ":authority", "string_match": {"prefix": "a."}}),
        ("{scheme: {exact: http}}", {"name": ":scheme", "string_match": {"exact": "http"}}),
    ],
)
def test_headers_and_what_http2_has_as_headers(condition: str, header: object) -> None:
    assert matches(condition) == {"prefix": "/", "headers": [header]}


def test_query_parameters() -> None:
    assert matches("{queryParams: {b: {exact: '1'}, a: {prefix: x}}}") == {
        "prefix": "/",
        "query_parameters": [
            {"name": "a", "string_match": {"prefix": "x"}},
            {"name": "b", "string_match": {"exact": "1"}},
        ],
    }


def test_each_match_is_a_route_in_order_with_its_name() -> None:
    routes = World().rule_routes(f"""
    - name: special
      match: [{{name: a, uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}]
      {TO_V1}
    - name: rest
      {TO_V1}
    """)
    assert [(each["name"], each["match"]["prefix"]) for each in routes] == [
        ("special.a", "/a"), ("special", "/b"), ("rest", "/"),
    ]  # fmt: skip


def test_what_follows_a_match_of_everything_is_never_reached() -> None:
    routes = World().rule_routes(f"- {TO_V1}\n- match: [{{uri: {{prefix: /a}}}}]\n  {TO_V1}")
    assert len(routes) == 1


@pytest.mark.parametrize(
    "condition", ["{port: 80}", "{gateways: [edge]}", "{sourceNamespace: other}", "{sourceLabels: {app: x}}"]
)
def test_a_match_that_cannot_hold_here_is_left_out(condition: str) -> None:
    routes = World().rule_routes(f"- name: out\n  match: [{condition}]\n  {TO_V1}\n- name: rest\n  {TO_V1}")
    assert [each["name"] for each in routes] == ["rest"]


@pytest.mark.parametrize(
    "condition",
    ["{port: 3002}", "{gateways: [mesh]}", "{sourceNamespace: weather}", "{sourceLabels: {app: frontend}}"],
)
def test_a_match_that_holds_here_is_no_condition_for_envoy(condition: str) -> None:
    caller = sidecar(labels=Labels({"app": "frontend", "version": "v1"}))
    routes = World().rule_routes(f"- match: [{condition}]\n  {TO_V1}", proxy=caller)
    assert routes[0]["match"] == {"prefix": "/"}


def test_a_rule_whose_matches_are_all_for_others_leaves_the_service_as_it_is() -> None:
    routes = World().rule_routes(f"- match: [{{sourceNamespace: other}}]\n  {TO_V1}")
    assert [(each["name"], each["route"]["cluster"]) for each in routes] == [
        ("default", f"outbound|3002||{FORECAST}")
    ]


# Where to


def test_shares() -> None:
    routes = World().rule_routes("""
    - route:
        - {destination: {host: forecast, subset: v1}, weight: 90}
        - {destination: {host: forecast, subset: v2}, weight: 10}
        - {destination: {host: frontend}, weight: 0}
    """)
    assert routes[0]["route"]["weighted_clusters"] == {
        "clusters": [{"name": V1, "weight": 90}, {"name": V2, "weight": 10}]
    }
    assert routes[0]["decorator"] == {"operation": "forecast:3002/*"}


def test_one_destination_gets_all_whatever_its_weight() -> None:
    routes = World().rule_routes("- route: [{destination: {host: forecast, subset: v1}, weight: 5}]")
    assert routes[0]["route"]["cluster"] == V1


def test_a_destination_without_port_is_at_the_only_port_of_its_service() -> None:
    routes = World().rule_routes("- route: [{destination: {host: frontend}}]")
    assert routes[0]["route"]["cluster"] == f"outbound|3000||frontend.weather.{DOMAIN}"


def test_a_destination_with_several_ports_is_at_the_port_that_was_called() -> None:
    to = f"istio-ingressgateway.istio-system.{DOMAIN}"
    routes = World().rule_routes(f"- route: [{{destination: {{host: {to}}}}}]")
    assert routes[0]["route"]["cluster"] == f"outbound|3002||{to}"


def test_a_short_name_is_one_of_the_rules_own_namespace() -> None:
    world = World()
    world.rules("""
    kind: VirtualService
    metadata: {name: forecast, namespace: weather}
    spec: {hosts: [forecast], http: [{route: [{destination: {host: frontend}}]}]}
    """)
    host = world.virtual_host(sidecar(namespace="elsewhere"), "3002", f"{FORECAST}:3002")
    assert host["routes"][0]["route"]["cluster"] == f"outbound|3000||frontend.weather.{DOMAIN}"


def test_the_route_says_which_rule_it_comes_from() -> None:
    routes = World().rule_routes(f"- {TO_V1}")
    path = "/apis/networking.istio.io/v1/namespaces/weather/virtual-service/forecast"
    assert routes[0]["metadata"]["filter_metadata"]["istio"]["config"] == path


# What happens on the way


def test_no_timeout_and_two_retries_by_default() -> None:
    route = World().rule_routes(f"- {TO_V1}")[0]["route"]
    assert route["timeout"] == "0s"
    contains(
        route["retry_policy"],
        {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            "num_retries": 2,
            "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts"}],
        },
    )


def test_timeout() -> None:
    assert World().rule_routes(f"- {TO_V1}\n  timeout: 1m0.5s")[0]["route"]["timeout"] == "60.500s"


def test_retries() -> None:
    retries = "{attempts: 3, perTryTimeout: 2s, retryOn: '5xx,503', backoff: 10ms}"
    policy = World().rule_routes(f"- {TO_V1}\n  retries: {retries}")[0]["route"]["retry_policy"]
    contains(
        policy,
        {
            "num_retries": 3,
            "per_try_timeout": "2s",
            "retry_on": "5xx,retriable-status-codes",
            "retriable_status_codes": [503],
            "retry_back_off": {"base_interval": "0.010s"},
        },
    )


def test_no_retries() -> None:
    assert "retry_policy" not in World().rule_routes(f"- {TO_V1}\n  retries: {{attempts: 0}}")[0]["route"]


def test_rewrite_of_prefix_and_authority() -> None:
    route = World().rule_routes(f"""
    - match: [{{uri: {{prefix: /v2/}}}}]
      rewrite: {{uri: /, authority: other.example}}
      {TO_V1}
    """)[0]["route"]
    contains(route, {"prefix_rewrite": "/", "host_rewrite_literal": "other.example"})


def test_rewrite_by_regular_expression() -> None:
    rewrite = "{uriRegexRewrite: {match: '^/a/(.*)', rewrite: '/b/\\1'}}"
    route = World().rule_routes(f"- {TO_V1}\n  rewrite: {rewrite}")[0]["route"]
    assert route["regex_rewrite"] == {"pattern": {"regex": "^/a/(.*)"}, "substitution": "/b/\\1"}


def test_fault() -> None:
    fault = "{delay: {fixedDelay: 2s, percentage: {value: 0.1}}, abort: {httpStatus: 503}}"
    route = World().rule_routes(f"- {TO_V1}\n  fault: {fault}")[0]
    contains(
        route["typed_per_filter_config"]["envoy.filters.http.fault"],
        {
            "delay": {"fixed_delay": "2s", "percentage": {"numerator": 1000, "denominator": "MILLION"}},
            "abort": {"http_status": 503, "percentage": {"numerator": 1000000, "denominator": "MILLION"}},
        },
    )


def test_fault_with_a_grpc_status() -> None:
    fault = "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}"
    route = World().rule_routes(f"- {TO_V1}\n  fault: {fault}")[0]
    contains(route["typed_per_filter_config"]["envoy.filters.http.fault"], {"abort": {"grpc_status": 14}})


def test_headers_of_the_route() -> None:
    request = "{set: {a: '1', host: h}, add: {b: '2'}, remove: [c]}"
    headers = f"{{request: {request}, response: {{set: {{d: '4'}}, remove: [e]}}}}"
    route = World().rule_routes(f"- {TO_V1}\n  headers: {headers}")[0]
    added = [
        (each["header"]["key"], each.get("append_action", "")) for each in route["request_headers_to_add"]
    ]
    assert added == [("a", "OVERWRITE_IF_EXISTS_OR_ADD"), ("b", "")]  # appending is Envoy's default
    assert route["request_headers_to_remove"] == ["c"]
    assert route["response_headers_to_remove"] == ["e"]
    assert route["route"]["host_rewrite_literal"] == "h"


def test_headers_of_a_destination_hold_for_its_share_only() -> None:
    routes = World().rule_routes("""
    - route:
        - destination: {host: forecast, subset: v1}
          weight: 50
          headers: {response: {set: {x-version: v1}}}
        - {destination: {host: forecast, subset: v2}, weight: 50}
    """)
    first, second = routes[0]["route"]["weighted_clusters"]["clusters"]
    assert first["response_headers_to_add"][0]["header"] == {"key": "x-version", "value": "v1"}
    assert "response_headers_to_add" not in second


def test_redirect() -> None:
    redirect = "{uri: /new, authority: new.example, scheme: https, redirectCode: 308}"
    route = World().rule_routes(f"- redirect: {redirect}")[0]
    assert route["redirect"] == {
        "path_redirect": "/new",
        "host_redirect": "new.example",
        "scheme_redirect": "https",
        "response_code": "PERMANENT_REDIRECT",
    }


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ("{port: 8443}", 8443),
        ("{derivePort: FROM_REQUEST_PORT}", 3002),
        ("{port: 443, scheme: https}", None),
        ("{port: 80}", None),
    ],
)
def test_port_of_a_redirect(redirect: str, port: int | None) -> None:
    assert World().rule_routes(f"- redirect: {redirect}")[0]["redirect"].get("port_redirect") == port


def test_direct_response() -> None:
    route = World().rule_routes("- directResponse: {status: 418, body: {string: tea}}")[0]
    assert route["direct_response"] == {"status": 418, "body": {"inline_string": "tea"}}


@pytest.mark.parametrize(
    ("share", "numerator"),
    [("mirrorPercentage: {value: 5}", 50000), ("mirrorPercent: 5", 50000), ("", 1000000)],
)
def test_mirror(share: str, numerator: int) -> None:
    rule = f"- {TO_V1}\n  mirror: {{host: forecast, subset: v2}}\n  {share}"
    policy = World().rule_routes(rule)[0]["route"]["request_mirror_policies"]
    contains(policy, [{"cluster": V2, "runtime_fraction": {"default_value": {"numerator": numerator}}}])


def test_mirror_of_nothing() -> None:
    rule = f"- {TO_V1}\n  mirrors: [{{destination: {{host: forecast}}, percentage: {{value: 0}}}}]"
    assert "request_mirror_policies" not in World().rule_routes(rule)[0]["route"]


def test_cors() -> None:
    cors = (
        "{allowOrigins: [{exact: 'https://a'}], allowMethods: [GET, PUT], maxAge: 1h, allowCredentials: true}"
    )
    route = World().rule_routes(f"- {TO_V1}\n  corsPolicy: {cors}")[0]
    contains(
        route["typed_per_filter_config"]["envoy.filters.http.cors"],
        {
            "allow_origin_string_match": [{"exact": "https://a"}],
            "allow_methods": "GET,PUT",
            "max_age": "3600",
            "allow_credentials": True,
            "forward_not_matching_preflights": True,
        },
    )


# By what requests are hashed


@pytest.mark.behaviour("W4")
@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        ("httpHeaderName: user", {"header": {"header_name": "user"}}),
        ("httpCookie: {name: c, ttl: 60s}", {"cookie": {"name": "c", "ttl": "60s"}}),
        ("useSourceIp: true", {"connection_properties": {"source_ip": True}}),
        ("httpQueryParameterName: q", {"query_parameter": {"name": "q"}}),
    ],
)
def test_routes_hash_as_the_destination_wants(settings: str, policy: object) -> None:
    rule = f"""
    kind: DestinationRule
    metadata: {{name: forecast}}
    spec:
      host: forecast
      subsets: [{{name: v1, labels: {{version: v1}}}}]
      trafficPolicy: {{loadBalancer: {{consistentHash: {{{settings}}}}}}}
    """
    routed = World().rule_routes(f"- {TO_V1}", rules=rule)[0]["route"]
    world = World()
    world.rules(rule)
    unruled = world.virtual_host(sidecar(), "3002", f"{FORECAST}:3002")["routes"][0]["route"]
    assert routed["hash_policy"] == unruled["hash_policy"] == [policy]
    assert "retry_host_predicate" not in routed["retry_policy"]
