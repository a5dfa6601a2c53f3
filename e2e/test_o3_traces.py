"""O3: traces of the demo: who called whom, with which context, how often, and with what rules add.

Envoy's tracer makes the spans; the built-in collector of istio-telemetry keeps them and is asked as Zipkin
is.
"""

import json
import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest

from e2e.mixer import Mixer, handler, instance, rule
from mesh.platform.mixer import TELEMETRY
from pytest_mesh import all_ok, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = [pytest.mark.behaviour("O3"), pytest.mark.usefixtures("fresh_connections", "steady")]

ZIPKIN = 9411
SLACK = 2000
"""Microseconds by which spans of two proxies may overlap: each takes its own time of the same clock."""

INGRESS = "istio-ingressgateway.istio-system"
CHAIN = (
    ("CLIENT", INGRESS),
    ("SERVER", "frontend.weather"),
    ("CLIENT", "frontend.weather"),
    ("SERVER", "forecast.weather"),
    ("CLIENT", "forecast.weather"),
    ("SERVER", "recommendation.weather"),
)
Span = Mapping[str, Any]


class Traces:
    """The built-in collector."""

    def __init__(self, mixer: Mixer) -> None:
        self._mixer = mixer

    def ask(self, path: str, **params: str | int) -> Any:
        """What it answers."""
        query = f"?{urlencode(params)}" if params else ""
        text = self._mixer.get(self._mixer.pod(TELEMETRY), f"/api/v2/{path}{query}", ZIPKIN)
        return json.loads(text)

    def call(self, trace: str, caller: str, called: str) -> tuple[Span, Span]:
        """Both sides' spans of a call, once they are there."""

        def there() -> tuple[Span, Span]:
            spans = self.spans(trace, 2)
            clients, servers = of(spans, "CLIENT", caller), of(spans, "SERVER", called)
            assert clients and servers, spans
            return clients[0], servers[0]

        return eventually(there, 15)

    def spans(self, trace: str, count: int) -> list[Span]:
        """A trace's spans, once there are so many."""

        def there() -> list[Span]:
            found: list[Span] = self.ask("traceMany", traceIds=f"{trace},{'0' * 31}1") or [[]]
            every: list[Span] = list(found[0])  # type: ignore[arg-type]
            assert len(every) >= count, [(each["kind"], each["localEndpoint"]) for each in every]
            return every

        return eventually(there, 15)


@pytest.fixture(scope="module")
def traces(mixer: Mixer) -> Traces:
    return Traces(mixer)


@pytest.fixture
def all_sampled(weather: Weather) -> Iterator[None]:
    """Every request begins a trace."""
    with weather.mesh.undoing():
        weather.mesh.apply(weather.rule("trace-all"))
        yield


def telemetry(name: str, namespace: str, selector: Mapping[str, str] | None = None, **tracing: Any) -> Obj:
    """A Telemetry with one setting of traces."""
    spec: Obj = {"tracing": [tracing]}
    if selector:
        spec["selector"] = {"matchLabels": dict(selector)}
    return {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def new_trace() -> str:
    return secrets.token_hex(16)


def w3c(trace: str, *, sampled: bool = True, parent: str = "00000000000000aa") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{parent}-{'01' if sampled else '00'}"}


def b3(trace: str, parent: str = "00000000000000aa") -> dict[str, str]:
    return {"x-b3-traceid": trace, "x-b3-spanid": parent, "x-b3-sampled": "1"}


def way(spans: Sequence[Span], leaf: Span) -> list[Span]:
    """From the first span down to this one."""
    by_id = {each["id"]: each for each in spans}
    found = [leaf]
    while (parent := by_id.get(found[0].get("parentId", ""))) is not None:
        found.insert(0, parent)
    return found


def of(spans: Sequence[Span], kind: str, service: str) -> list[Span]:
    return [each for each in spans if (each["kind"], each["localEndpoint"]["serviceName"]) == (kind, service)]


def follows(parent: Span, child: Span) -> None:
    """Assert that a span lies within its parent."""
    begun, ended = parent["timestamp"], parent["timestamp"] + parent["duration"]
    assert begun - SLACK <= child["timestamp"], (parent, child)
    assert child["timestamp"] + child["duration"] <= ended + SLACK, (parent, child)


@pytest.mark.parametrize("context", [w3c, b3], ids=["w3c", "b3"])
@pytest.mark.usefixtures("all_sampled")
def test_the_demo_from_the_gateway_to_the_recommendation(
    weather: Weather, traces: Traces, context: Any
) -> None:
    trace = new_trace()
    with weather.mesh.applied(weather.rule("all-v2")):
        weather.outside.get("/api/weather?city=Oslo", headers=context(trace)).check(all_ok())
    spans = traces.spans(trace, 8)
    assert len(spans) == len({(each["id"], each["kind"]) for each in spans}) == 8
    (leaf,) = of(spans, "SERVER", "recommendation.weather")
    found = way(spans, leaf)
    assert [(each["kind"], each["localEndpoint"]["serviceName"]) for each in found] == list(CHAIN)
    assert found[0]["parentId"] == "00000000000000aa"
    for parent, child in pairwise(found):
        follows(parent, child)
    (ads,) = of(spans, "SERVER", "advertisement.weather")
    assert [each["id"] for each in way(spans, ads)[:2]] == [each["id"] for each in found[:2]]
    forecast = found[3]
    assert forecast["name"] == "forecast.weather.svc.cluster.local:3002/*"
    assert forecast["tags"]["http.status_code"] == "200"
    assert forecast["tags"]["istio.canonical_service"] == "forecast"
    assert forecast["tags"]["peer.principal"] == "spiffe://cluster.local/ns/weather/sa/frontend"


@pytest.mark.usefixtures("all_sampled")
def test_who_calls_whom(weather: Weather, traces: Traces) -> None:
    trace = new_trace()
    weather.outside.get("/api/weather?city=Bonn", headers=w3c(trace)).check(all_ok())
    traces.spans(trace, 6)
    found = traces.ask("dependencies", endTs=10**14, lookback=10**14)
    links = {(each["parent"], each["child"]) for each in found}
    assert {(INGRESS, "frontend.weather"), ("frontend.weather", "forecast.weather")} <= links
    assert {"frontend.weather", "forecast.weather"} <= set(traces.ask("services"))


def counted(traces: Traces, mark: str) -> set[str]:
    """The traces that the client began with this mark."""
    found = traces.ask("traces", serviceName="client.weather", annotationQuery=f"mark={mark}", limit=1000)
    return {each[0]["traceId"] for each in found}


CALLS = 400


@pytest.mark.parametrize("share", [0, 30, 100])
def test_sampling_of_one_workload(weather: Weather, traces: Traces, share: int) -> None:
    """Of 400 calls a share is traced. By Hoeffding's bound it is further off than by 54 calls fewer than once
    in 10^6 runs: 2 exp(-2 n t^2) with t = 0.135. At 0 and 100 per cent there is nothing left to chance.
    """
    mark = secrets.token_hex(4)
    margin = math.ceil(math.sqrt(math.log(2e6) / (2 * CALLS)) * CALLS) if 0 < share < 100 else 0
    tags = {"mark": {"header": {"name": "x-mark"}}}
    with weather.mesh.undoing():
        weather.mesh.apply(
            telemetry("share", "weather", {"app": "client"}, randomSamplingPercentage=share, customTags=tags)
        )
        weather.client.get(weather.forecast, count=CALLS, concurrency=8, headers={"x-mark": mark}).check(
            all_ok()
        )
        last = new_trace()
        weather.client.get(weather.forecast, headers=w3c(last)).check(all_ok())
        traces.spans(last, 2)  # what one proxy sent before is there, too
        wanted = CALLS * share / 100
        eventually(lambda: len(counted(traces, mark)) >= wanted - margin or wanted == 0, 10)
        assert abs(len(counted(traces, mark)) - wanted) <= margin


def test_who_wants_no_trace_gets_none(weather: Weather, traces: Traces) -> None:
    trace, last = new_trace(), new_trace()
    weather.client.get(weather.forecast, headers=w3c(trace, sampled=False)).check(all_ok())
    weather.client.get(weather.forecast, headers=w3c(last)).check(all_ok())
    traces.spans(last, 2)
    assert traces.ask("traceMany", traceIds=trace) == []


def test_rules_add_tags_and_each_span_is_forwarded_once(
    weather: Weather, mixer: Mixer, traces: Traces
) -> None:
    mark = secrets.token_hex(4)
    fields: Obj = {
        "traceId": 'request.headers["x-b3-traceid"]',
        "spanId": 'request.headers["x-b3-spanid"]',
        "parentSpanId": 'request.headers["x-b3-parentspanid"] | ""',
        "spanName": 'request.path | "/"',
        "startTime": "request.time",
        "endTime": "response.time",
        "sourceName": 'source.workload.name | "unknown"',
        "destinationName": 'destination.workload.name | "unknown"',
        "spanTags": {
            "run": f'"{mark}"',
            "user": 'request.headers["end-user"] | "nobody"',
            "caller": 'source.labels["app"] | ""',
            "called": 'destination.service.host | ""',
        },
    }
    collector = {"url": "http://zipkin.outside.invalid:9411", "closeTimeout": "100ms"}
    before = mixer.metrics(TELEMETRY)
    with weather.mesh.undoing():
        mixer.apply([
            handler("spans", "zipkin", **collector),
            instance("span", "tracespan", **fields),
            rule("spans", 'destination.labels["app"] == "forecast"', ("spans", "span"), ("spans", "span")),
        ])  # fmt: skip
        trace = new_trace()
        headers = {**w3c(trace), "end-user": "ann"}
        weather.client.get(weather.forecast, headers=headers).check(all_ok())
        client, server = traces.call(trace, "client.weather", "forecast.weather")
        assert server["tags"]["user"] == client["tags"]["user"] == "ann"
        assert server["tags"]["caller"] == client["tags"]["caller"] == "client"
        assert server["tags"]["called"] == "forecast.weather.svc.cluster.local"
        name = 'mixer_dispatches_total{adapter="zipkin",handler="spans.weather"}'
        sent = mixer.metrics(TELEMETRY).get(name, 0) - before.get(name, 0)
        every = [
            span for each in traces.ask("traces", annotationQuery=f"run={mark}", limit=1000) for span in each
        ]
        tagged = [each for each in every if each["tags"].get("run") == mark]
        assert sent == len(tagged) >= 2, tagged
