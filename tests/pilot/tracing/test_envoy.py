"""O3: real Envoys with what Pilot compiled make spans with the right parents, and hand context on."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from mesh.mixer.tracing.spans import Span
from tests.pilot.tracing.rig import Rig, mesh, rig

pytestmark = pytest.mark.behaviour("O3")

TRACE = "463ac35c9f6413ad48485a3953bb6124"
PARENT = "a2fb4a1d1a96d312"
W3C = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=42"}
B3 = {"x-b3-traceid": TRACE, "x-b3-spanid": PARENT, "x-b3-sampled": "1"}
SINGLE = {"b3": f"{TRACE}-{PARENT}-1"}

TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tags, namespace: istio-system}
spec:
  tracing:
    - customTags:
        colour: {literal: {value: blue}}
        user: {header: {name: end-user, defaultValue: nobody}}
        home: {environment: {name: HOME_OF_NOBODY, defaultValue: none}}
        way: {formatter: {value: "%REQ(:METHOD)% over %PROTOCOL%"}}
"""


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("all"), mesh(100), TELEMETRY) as found:
        yield found


@pytest.fixture(scope="module")
def untraced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("none"), mesh(0)) as found:
        yield found


def spans_of(
    traced: Rig,
    headers: Mapping[str, str] = {},
    count: int = 2,
    *,
    direct: bool = False,
) -> list[Span]:
    """The spans of one call, and nothing else of it."""
    got = traced.get(headers, direct=direct)
    return traced.collector.of(got["x-request-id"][0], count)


def test_each_side_has_a_span_and_the_server_hangs_below_the_client(traced: Rig) -> None:
    got = traced.get()
    edge, inner = traced.collector.of(got["x-request-id"][0], 2)
    assert (edge.kind, edge.local.service) == ("CLIENT", "istio-ingressgateway.istio-system")
    assert (inner.kind, inner.local.service) == ("SERVER", "forecast.weather")
    assert (edge.parent_id, inner.parent_id) == ("", edge.id)
    assert edge.trace_id == inner.trace_id and len(edge.trace_id) == 32
    assert edge.timestamp <= inner.timestamp
    assert inner.timestamp + inner.duration <= edge.timestamp + edge.duration
    assert edge.name == "forecast.weather.svc.cluster.local:3002/*"


def test_context_goes_on_to_the_server_in_both_forms(traced: Rig) -> None:
    got = traced.get()
    _, inner = traced.collector.of(got["x-request-id"][0], 2)
    assert got["x-b3-traceid"] == [inner.trace_id]
    assert got["x-b3-spanid"] == [inner.id]
    assert got["x-b3-sampled"] == ["1"]
    assert got["traceparent"] == [f"00-{inner.trace_id}-{inner.id}-01"]


@pytest.mark.parametrize("headers", [W3C, B3, SINGLE], ids=["w3c", "b3", "b3-single"])
def test_a_caller_s_context_is_continued(traced: Rig, headers: dict[str, str]) -> None:
    edge, inner = spans_of(traced, headers)
    assert edge.trace_id == inner.trace_id == TRACE
    assert (edge.parent_id, inner.parent_id) == (PARENT, edge.id)


@pytest.mark.parametrize("headers", [W3C, B3, SINGLE], ids=["w3c", "b3", "b3-single"])
def test_a_sidecar_alone_continues_it_too(traced: Rig, headers: dict[str, str]) -> None:
    (inner,) = spans_of(traced, headers, 1, direct=True)
    assert (inner.trace_id, inner.parent_id) == (TRACE, PARENT)


@pytest.mark.parametrize("headers", [W3C, B3], ids=["w3c", "b3"])
def test_who_wanted_a_trace_keeps_it_whatever_is_sampled(untraced: Rig, headers: dict[str, str]) -> None:
    edge, inner = spans_of(untraced, headers)
    assert (edge.trace_id, edge.parent_id, inner.parent_id) == (TRACE, PARENT, edge.id)


@pytest.mark.parametrize(
    "headers",
    [{"traceparent": f"00-{TRACE}-{PARENT}-00"}, {**B3, "x-b3-sampled": "0"}, {"b3": "0"}],
    ids=["w3c", "b3", "b3-single"],
)
def test_who_wanted_none_gets_none(traced: Rig, headers: dict[str, str]) -> None:
    got = traced.get(headers)
    marker = traced.get()
    traced.collector.of(marker["x-request-id"][0], 2)
    assert not [
        each for each in traced.collector.spans if each.tags["guid:x-request-id"] == got["x-request-id"][0]
    ]


def test_without_sampling_nothing_is_sent(untraced: Rig) -> None:
    assert all(got["x-b3-sampled"] == ["0"] for got in untraced.many(100))
    spans_of(untraced, B3)
    assert {each.trace_id for each in untraced.collector.spans} == {TRACE}


def test_tags(traced: Rig) -> None:
    edge, inner = spans_of(traced, {"end-user": "ann"})
    for each in (edge, inner):
        assert each.tags["colour"] == "blue"
        assert each.tags["user"] == "ann"
        assert each.tags["home"] == "none"
        assert each.tags["way"] == "GET over HTTP/1.1"
        assert each.tags["http.status_code"] == "200"
    assert inner.tags["istio.canonical_service"] == "forecast"
    assert inner.tags["istio.namespace"] == "weather"
    assert inner.tags["istio.canonical_revision"] == "latest"
    assert edge.tags["upstream_address"] == traced.direct.removeprefix("http://")
    assert spans_of(traced)[0].tags["user"] == "nobody"


OTLP = {
    "extensionProviders": [
        {
            "name": "otlp",
            "opentelemetry": {"service": "zipkin.istio-system.svc.cluster.local", "port": 9411, "http": {}},
        }
    ],
    "defaultProviders": {"tracing": ["otlp"]},
}


def test_a_provider_of_opentelemetry_gets_otlp_from_envoy_itself(tmp_path: Path) -> None:
    with rig(tmp_path, mesh(100, **OTLP)) as found:
        got = found.get(W3C)
        spans = found.collector.until_otlp(2)
    by_kind = {span.kind: (service, span) for service, span in spans}
    _, client = by_kind[trace_pb2.Span.SPAN_KIND_CLIENT]
    _, server = by_kind[trace_pb2.Span.SPAN_KIND_SERVER]
    assert len(spans) == 2 and not found.collector.spans
    assert client.trace_id.hex() == server.trace_id.hex() == TRACE
    assert (client.parent_span_id.hex(), server.parent_span_id) == (PARENT, client.span_id)
    assert client.start_time_unix_nano <= server.start_time_unix_nano
    assert server.end_time_unix_nano <= client.end_time_unix_nano
    assert got["traceparent"] == [f"00-{TRACE}-{server.span_id.hex()}-01"]
    assert got["tracestate"] == ["vendor=42"]


SHARE, CALLS = 30.0, 600


def test_a_share(tmp_path: Path) -> None:
    """Of 600 requests at 30 %, 180 are expected with a deviation of 11.2. Six deviations are allowed: by
    Hoeffding's bound the count is further away fewer than once in 10^6 runs (2 exp(-2 n t^2), t = 0.113).
    """
    with rig(tmp_path, mesh(SHARE)) as found:
        sampled = [got for got in found.many(CALLS) if got["x-b3-sampled"] == ["1"]]
        ids = {got["x-request-id"][0] for got in sampled}
        margin = math.sqrt(math.log(2 / 1e-6) / (2 * CALLS)) * CALLS
        assert abs(len(sampled) - CALLS * SHARE / 100) <= margin
        spans = found.collector.until(lambda every: len(every) >= 2 * len(ids))
    assert {each.tags["guid:x-request-id"] for each in spans} == ids
    assert len(spans) == 2 * len(ids)
