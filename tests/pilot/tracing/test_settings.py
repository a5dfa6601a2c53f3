"""O3: how a workload is traced, put together from settings, annotation and Telemetry, narrow over wide."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from mesh.api.errors import ConfigError
from mesh.api.meshconfig import MeshConfig, advice_of
from mesh.model import Labels, Proxy
from mesh.pilot import tables
from mesh.pilot.compile.tracing import ISTIO_TAGS
from mesh.pilot.problems import problems
from mesh.pilot.types import LDS
from tests.pilot.compile.world import WEATHER, World, gateway, sidecar
from tests.pilot.tracing.rig import mesh

pytestmark = pytest.mark.behaviour("O3")

SERVICES = (
    WEATHER
    + """
- name: zipkin
  namespace: istio-system
  addresses: [10.1.0.7]
  ports: [{number: 9411, name: http-zipkin}]
  instances: [{address: 10.0.0.7}]
- name: otel
  namespace: tools
  addresses: [10.1.0.8]
  ports: [{number: 4317, name: grpc}, {number: 4318, name: http}]
  instances: [{address: 10.0.0.8}]
"""
)
PROVIDERS = [
    {"name": "otlp", "opentelemetry": {"service": "otel.tools.svc.cluster.local", "port": 4317}},
    {
        "name": "otlp-http",
        "opentelemetry": {
            "service": "tools/otel.tools.svc.cluster.local",
            "port": 4318,
            "http": {"path": "/in", "timeout": "3s", "headers": [{"name": "x-key", "value": "k"}]},
        },
    },
    {
        "name": "narrow",
        "zipkin": {
            "service": "zipkin.istio-system.svc.cluster.local",
            "port": 9411,
            "enable64bitTraceId": True,
            "traceContextOption": "USE_B3",
            "path": "/other",
            "maxTagLength": 40,
        },
    },
    {"name": "gone", "zipkin": {"service": "nowhere.tools.svc.cluster.local", "port": 9411}},
]
Http = dict[str, Any]


def telemetry(name: str, namespace: str = "weather", selector: str = "", **tracing: Any) -> str:
    spec: Http = {"tracing": [tracing]}
    if selector:
        spec["selector"] = {"matchLabels": {"app": selector}}
    return str(
        yaml.safe_dump(
            {
                "apiVersion": "telemetry.istio.io/v1",
                "kind": "Telemetry",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )
    )


def managers(world: World, proxy: Proxy) -> dict[str, list[Http]]:
    """The handlers of HTTP by direction."""
    import json

    from google.protobuf.json_format import MessageToDict

    from tests.pilot.compile.world import MESSAGES

    found: dict[str, list[Http]] = {}
    for resource in world.all(proxy, LDS).values():
        listener = MessageToDict(MESSAGES[LDS].FromString(resource.payload), preserving_proto_field_name=True)
        text = json.loads(json.dumps(listener))
        for chain in [*text.get("filter_chains", []), text.get("default_filter_chain", {})]:
            for each in chain.get("filters", []):
                if "route_config" in each["typed_config"] or "rds" in each["typed_config"]:
                    found.setdefault(text.get("traffic_direction", ""), []).append(each["typed_config"])
    return found


def traced(world: World, proxy: Proxy | None = None) -> tuple[Http | None, Http | None]:
    """`tracing` inbound and outbound; all of a direction have the same."""
    found = managers(world, proxy or sidecar(labels=Labels({"app": "frontend"})))
    sides = []
    for direction in ("INBOUND", "OUTBOUND"):
        every = [each.get("tracing") for each in found[direction]]
        assert all(each == every[0] for each in every)
        sides.append(every[0])
    return sides[0], sides[1]


def sampling(world: World, proxy: Proxy | None = None) -> tuple[float | None, float | None]:
    inbound, outbound = traced(world, proxy)
    return tuple(each["random_sampling"].get("value", 0.0) if each else None for each in (inbound, outbound))  # type: ignore[return-value]


def world(settings: MeshConfig | None = None, *rules: str) -> World:
    return World(SERVICES, "---\n".join(rules), settings or MeshConfig())


def annotated(text: str) -> Proxy:
    metadata = {"ANNOTATIONS": {"proxy.istio.io/config": text}}
    # Another Pod: a proxy that goes by the same name is taken for the one that was seen before.
    name = f"frontend-{abs(hash(text))}"
    return sidecar(name, labels=Labels({"app": "frontend"}), metadata=metadata)


def test_by_default_one_request_in_a_hundred_is_sent_to_the_built_in_collector() -> None:
    inbound, outbound = traced(world())
    assert inbound is not None and outbound is not None
    assert (inbound["random_sampling"], inbound["client_sampling"]) == ({"value": 1.0}, {"value": 100.0})
    config = inbound["provider"]["typed_config"]
    assert config.pop("@type").endswith("ZipkinConfig")
    assert config == {
        "collector_cluster": "outbound|9411||zipkin.istio-system.svc.cluster.local",
        "collector_endpoint": "/api/v2/spans",
        "collector_endpoint_version": "HTTP_JSON",
        "collector_hostname": "zipkin.istio-system.svc.cluster.local:9411",
        "shared_span_context": False,
        "trace_id_128bit": True,
        "trace_context_option": "USE_B3_WITH_W3C_PROPAGATION",
    }
    assert [each["tag"] for each in inbound["custom_tags"]] == sorted([*ISTIO_TAGS, "peer.principal"])
    assert [each["tag"] for each in outbound["custom_tags"]] == sorted([*ISTIO_TAGS, "upstream_address"])
    assert outbound["max_path_tag_length"] == 256


def test_nobody_traces_without_a_collector_or_when_tracing_is_off() -> None:
    assert traced(World(WEATHER)) == (None, None)
    assert traced(world(MeshConfig(enable_tracing=False))) == (None, None)


def test_a_collector_that_comes_later_is_used() -> None:
    found = World(WEATHER)
    assert traced(found) == (None, None)
    found.services(SERVICES)
    assert sampling(found) == (1.0, 1.0)
    found.remove_service("zipkin.istio-system.svc.cluster.local")
    assert traced(found) == (None, None)


def test_a_collector_that_a_namespace_does_not_see_is_not_used() -> None:
    """Envoy would refuse the listener: it has no cluster for it."""
    found = world()
    host = "zipkin.istio-system.svc.cluster.local"
    service = found.snapshot.get(tables.SERVICE, host)
    found.put(replace(service, export_to=frozenset({"istio-system"})))
    assert traced(found) == (None, None)


def test_the_mesh_s_settings() -> None:
    assert sampling(world(mesh(37.5))) == (37.5, 37.5)
    assert sampling(world(mesh(0))) == (0.0, 0.0)


def test_gateways_trace_as_callers() -> None:
    rules = """
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
    client = telemetry("c", "istio-system", match={"mode": "CLIENT"}, randomSamplingPercentage=20)
    found = managers(world(mesh(5), rules, client), gateway())
    assert [each["tracing"]["random_sampling"] for each in found["OUTBOUND"]] == [{"value": 20.0}]


def test_an_annotation_changes_what_it_names() -> None:
    found = world(mesh(10))
    assert sampling(found, annotated("tracing: {sampling: 80}")) == (80.0, 80.0)
    assert sampling(found, annotated("tracing: {maxPathTagLength: 17}")) == (10.0, 10.0)
    for wrong in ("tracing: {sampling: 800}", "tracing: [", "7", "concurrency: 2"):
        assert sampling(found, annotated(wrong)) == (10.0, 10.0)


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ([telemetry("m", "istio-system", randomSamplingPercentage=20)], (20.0, 20.0)),
        (
            [
                telemetry("m", "istio-system", randomSamplingPercentage=20),
                telemetry("n", randomSamplingPercentage=30),
            ],
            (30.0, 30.0),
        ),
        (
            [
                telemetry("n", randomSamplingPercentage=30),
                telemetry("w", selector="frontend", randomSamplingPercentage=40),
            ],
            (40.0, 40.0),
        ),
        ([telemetry("w", selector="forecast", randomSamplingPercentage=40)], (5.0, 5.0)),
        ([telemetry("n", "elsewhere", randomSamplingPercentage=40)], (5.0, 5.0)),
        ([telemetry("n", match={"mode": "SERVER"}, randomSamplingPercentage=0)], (0.0, 5.0)),
        ([telemetry("n", match={"mode": "CLIENT"}, disableSpanReporting=True)], (5.0, None)),
        (
            [
                telemetry("n", disableSpanReporting=True),
                telemetry("w", selector="frontend", disableSpanReporting=False),
            ],
            (5.0, 5.0),
        ),
    ],
)
def test_telemetry_narrow_over_wide(rules: list[str], wanted: tuple[float, float]) -> None:
    assert sampling(world(mesh(5), *rules)) == wanted


def provider(*rules: str, **more: Any) -> tuple[str, Http]:
    settings = MeshConfig.model_validate({"extensionProviders": PROVIDERS, **more})
    inbound, _ = traced(world(settings, *rules))
    assert inbound is not None
    return inbound["provider"]["name"], inbound["provider"]["typed_config"]


def test_providers() -> None:
    name, config = provider(telemetry("m", "istio-system", providers=[{"name": "otlp"}]))
    assert name == "envoy.tracers.opentelemetry"
    assert (
        config["grpc_service"]["envoy_grpc"]["cluster_name"] == "outbound|4317||otel.tools.svc.cluster.local"
    )
    _, config = provider(defaultProviders={"tracing": ["otlp-http"]})
    http = config["http_service"]
    assert http["http_uri"]["uri"] == "http://otel.tools.svc.cluster.local:4318/in"
    assert http["http_uri"]["timeout"] == "3s"
    assert http["request_headers_to_add"] == [{"header": {"key": "x-key", "value": "k"}}]
    name, config = provider(
        telemetry("n", providers=[{"name": "narrow"}]), defaultProviders={"tracing": ["otlp"]}
    )
    assert (name, config["collector_endpoint"]) == ("envoy.tracers.zipkin", "/other")
    assert "trace_id_128bit" not in config and "trace_context_option" not in config


@pytest.mark.parametrize("name", ["gone", "nobody"])
def test_a_provider_that_is_not_there_gets_nothing(name: str) -> None:
    settings = MeshConfig.model_validate({"extensionProviders": PROVIDERS})
    assert traced(world(settings, telemetry("m", providers=[{"name": name}]))) == (None, None)


def test_a_provider_that_is_not_there_is_told() -> None:
    settings = MeshConfig.model_validate({"extensionProviders": PROVIDERS})
    named = [{"name": "nobody"}, {"name": "gone"}, {"name": "otlp"}]
    nobody, gone = map(str, problems(world(settings, telemetry("m", providers=named)).snapshot))
    assert (
        "spec.tracing[0].providers[0].name" in nobody
        and "(there are: gone, narrow, otlp, otlp-http)" in nobody
    )
    assert "nowhere.tools.svc.cluster.local:9411, which no service has" in gone


def test_tags_are_replaced_as_a_whole_and_can_win_over_istio_s() -> None:
    rules = [
        telemetry("m", "istio-system", customTags={"a": {"literal": {"value": "1"}}}),
        telemetry(
            "n",
            enableIstioTags=False,
            customTags={"b": {"header": {"name": "x-b"}}, "peer.principal": {"literal": {"value": "x"}}},
        ),
    ]
    inbound, _ = traced(world(None, *rules))
    assert inbound is not None
    assert inbound["custom_tags"] == [
        {"tag": "b", "request_header": {"name": "x-b"}},
        {"tag": "peer.principal", "literal": {"value": "x"}},
    ]


def test_chance_without_the_request_s_id() -> None:
    found = managers(world(None, telemetry("m", useRequestIdForTraceSampling=False)), sidecar())
    extension = found["INBOUND"][0]["request_id_extension"]["typed_config"]
    assert extension["use_request_id_for_trace_sampling"] is False


def test_headers_that_rules_refer_to_become_tags() -> None:
    rules = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: traces, namespace: istio-system}
spec: {compiledAdapter: zipkin, params: {url: "http://collector:9411"}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: span, namespace: istio-system}
spec:
  compiledTemplate: tracespan
  params:
    traceId: request.headers["x-b3-traceid"]
    spanTags: {user: 'request.headers["end-user"] | ""', agent: 'request.headers["user-agent"] | ""'}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: trace, namespace: istio-system}
spec: {match: 'request.headers["x-team"] != ""', actions: [{handler: traces, instances: [span]}]}
"""
    inbound, outbound = traced(world(None, rules))
    for each in (inbound, outbound):
        assert each is not None
        headers = {
            tag["tag"]: tag["request_header"]["name"]
            for tag in each["custom_tags"]
            if "request_header" in tag
        }
        assert headers == {
            "http.request.header.end-user": "end-user",
            "http.request.header.x-team": "x-team",
        }


def test_what_another_workload_s_telemetry_says_changes_no_bytes() -> None:
    found = world(mesh(5))
    proxy = sidecar(labels=Labels({"app": "frontend"}))
    before = {name: each.version for name, each in found.all(proxy, LDS).items()}
    found.rules(telemetry("w", selector="forecast", randomSamplingPercentage=40))
    assert {name: each.version for name, each in found.all(proxy, LDS).items()} == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"defaultConfig": {"tracing": {"sampling": 101}}}, "tracing.sampling: is 101"),
        ({"defaultConfig": {"tracing": {"zipkin": {"address": "zipkin"}}}}, "is 'zipkin', not HOST:PORT"),
        ({"defaultConfig": {"tracing": {"sample": 1}}}, "did you mean"),
        ({"defaultConfig": {"tracing": {"customTags": {"a": {}}}}}, "exactly one of literal"),
        ({"extensionProviders": [{"name": "a", "zipkin": {"service": "z", "port": 0}}]}, "1-65535"),
        (
            {
                "extensionProviders": [
                    {"name": "a", "opentelemetry": {"service": "z", "port": 1, "http": {}, "grpc": {}}}
                ]
            },
            "only one of http, grpc",
        ),
    ],
)
def test_wrong_settings_are_refused(settings: Http, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MeshConfig.from_yaml(yaml.safe_dump(settings))
    assert words in str(caught.value)


def test_what_is_not_used_is_told() -> None:
    text = yaml.safe_dump({"defaultConfig": {"tracing": {"lightstep": {"address": "a:1"}}}})
    assert [each.path for each in advice_of(text)] == ["data.mesh.defaultConfig.tracing.lightstep"]


def test_a_listener_names_the_telemetry_that_counts() -> None:
    found = world(None, telemetry("n", randomSamplingPercentage=30), telemetry("o", "other"))
    (inbound,) = [
        each
        for each in found.all(sidecar(labels=Labels({"app": "frontend"})), LDS).values()
        if each.name == "virtualInbound"
    ]
    assert [key.name for key in inbound.origins if key.kind == "Telemetry"] == ["n"]
