"""O3, O4: spans go out as Zipkin v2 (its schema) and OTLP (the official messages), each once."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client import CollectorRegistry

from mesh.api.checks import faults
from mesh.mixer.adapters.batches import REFUSED
from mesh.mixer.adapters.opentelemetry import OpenTelemetry, OpenTelemetryParams
from mesh.mixer.adapters.zipkin import Zipkin, ZipkinParams
from mesh.rules.adapter import Adapter, Environment, Instance
from tests.live import until
from tests.loops import run
from tests.mixer.tracing.rig import NOW, TRACE, Otlp, counted, otlp_grpc, otlp_http, receiving
from tests.mixer.tracing.schema import valid
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("O3", "O4")

SOON = {"flushInterval": "10ms"}
AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW)


def instance(number: int = 1, **more: Any) -> Instance:
    values = {
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_span_id": "a2fb4a1d1a96d312",
        "span_name": "/weather",
        "start_time": AT,
        "end_time": AT + timedelta(microseconds=2501),
        "client_span": False,
        "http_status_code": 200,
        "source_name": "frontend-v1",
        "source_ip": bytes([10, 0, 0, 2]),
        "destination_name": "forecast-v1",
        "destination_ip": bytes([10, 0, 0, 1]),
        "span_tags": {"user": "ann", "cached": False, "retries": 2},
        **more,
    }
    return Instance("span.istio-system", "tracespan", values)


@asynccontextmanager
async def started(
    adapter: type[Adapter[Any]], registry: CollectorRegistry, folder: Path, **params: Any
) -> AsyncIterator[Adapter[Any]]:
    """A handler that runs, until the block ends."""
    tasks: set[asyncio.Task[None]] = set()

    def background(work: Coroutine[Any, Any, None], name: str) -> None:
        tasks.add(asyncio.create_task(work, name=name))

    around = Environment("h.ns", lambda: 0.0, lambda: 0.0, background, registry, folder)
    made = adapter(adapter.Params.model_validate({**SOON, **params}), around)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def sent(registry: CollectorRegistry) -> float:
    return counted(registry, "mixer_export_sent_total", handler="h.ns")


def test_zipkin_gets_what_its_schema_wants(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def scenario() -> Any:
        async with receiving() as zipkin:
            async with started(Zipkin, registry, tmp_path, url=zipkin.url) as handler:
                handler.report([instance(1), instance(2, client_span=True)])
                await until(lambda: len(zipkin.store) == 2, "they arrive")
            return valid(await zipkin.get(f"trace/{TRACE}"))

    client, server = run(scenario())
    assert server == {
        "traceId": TRACE,
        "parentId": "a2fb4a1d1a96d312",
        "id": "0000000000000001",
        "kind": "SERVER",
        "name": "/weather",
        "timestamp": NOW,
        "duration": 2501,
        "localEndpoint": {"serviceName": "forecast-v1", "ipv4": "10.0.0.1"},
        "remoteEndpoint": {"serviceName": "frontend-v1", "ipv4": "10.0.0.2"},
        "tags": {"http.status_code": "200", "user": "ann", "cached": "false", "retries": "2"},
    }
    assert client["localEndpoint"]["serviceName"] == "frontend-v1"
    assert sent(registry) == 2


def attributes(span: trace_pb2.Span) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in span.attributes
    }


def check_otlp(collector: Otlp) -> None:
    (request,) = collector.requests
    names = [
        each.value.string_value
        for resource in request.resource_spans
        for each in resource.resource.attributes
        if each.key == "service.name"
    ]
    assert names == ["forecast-v1", "frontend-v1"]
    server, client = collector.spans
    assert server.trace_id.hex() == TRACE and server.span_id.hex() == "0000000000000001"
    assert server.parent_span_id.hex() == "a2fb4a1d1a96d312"
    assert (server.kind, client.kind) == (trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT)
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (NOW * 1000, NOW * 1000 + 2_501_000)
    assert server.name == "/weather"
    found = attributes(server)
    assert (found["http.status_code"], found["user"], found["peer.service"]) == (200, "ann", "frontend-v1")
    assert server.status.code == trace_pb2.Status.STATUS_CODE_UNSET
    assert client.status.code == trace_pb2.Status.STATUS_CODE_ERROR


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_otlp_in_the_official_messages(protocol: str, tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def scenario() -> Otlp:
        async with otlp_grpc() if protocol == "grpc" else otlp_http() as collector:
            params = {"endpoint": collector.url, "protocol": protocol, "headers": {"x-team": "weather"}}
            async with started(OpenTelemetry, registry, tmp_path, **params) as handler:
                handler.report([instance(1), instance(2, client_span=True, http_status_code=404)])
                await until(lambda: collector.requests, "they arrive")
            return collector

    collector = run(scenario())
    check_otlp(collector)
    assert collector.headers[0]["x-team"] == "weather"
    assert sent(registry) == 2


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_what_a_collector_refuses_is_counted(protocol: str, tmp_path: Path) -> None:
    """Partial success: field 1 of the answer, of which 1 is how many were refused, 2 why (OTLP 1.x)."""
    registry = CollectorRegistry()

    async def scenario() -> None:
        async with otlp_grpc() if protocol == "grpc" else otlp_http() as collector:
            collector.answer = b"\x0a\x07\x08\x03\x12\x03bad"
            params = {"endpoint": collector.url, "protocol": protocol}
            async with started(OpenTelemetry, registry, tmp_path, **params) as handler:
                handler.report([instance(number) for number in range(1, 11)])
                await until(lambda: sent(registry) == 7, "seven are taken")

    run(scenario())
    assert counted(registry, "mixer_export_lost_total", handler="h.ns", reason=REFUSED) == 3


CASES: list[tuple[type[Adapter[Any]], str, dict[str, str]]] = [
    (Zipkin, "url", {}),
    (OpenTelemetry, "endpoint", {"protocol": "http/protobuf"}),
    (OpenTelemetry, "endpoint", {"protocol": "grpc"}),
]


@pytest.mark.parametrize(("adapter", "name", "more"), CASES)
def test_a_collector_that_is_not_there_holds_nobody_up(
    adapter: type[Adapter[Any]], name: str, more: dict[str, str], tmp_path: Path
) -> None:
    registry = CollectorRegistry()
    port = free_port()

    async def scenario() -> None:
        params = {
            name: f"http://127.0.0.1:{port}",
            "queueSize": 100,
            "timeout": "100ms",
            "closeTimeout": "50ms",
            **more,
        }
        async with started(adapter, registry, tmp_path, **params) as handler:
            for number in range(30):
                handler.report([instance(number * 10 + each + 1) for each in range(10)])
            assert counted(registry, "mixer_export_lost_total", handler="h.ns", reason="queue full") == 200

    run(scenario())
    assert sent(registry) == 0
    assert counted(registry, "mixer_export_lost_total", handler="h.ns", reason="closed") == 100


def test_a_share_of_traces_is_whole_traces(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def scenario() -> list[str]:
        async with receiving() as zipkin:
            async with started(Zipkin, registry, tmp_path, url=zipkin.url, sampleProbability=0.5) as handler:
                for trace in ("00" * 9 + "ff" * 7, "00" * 9 + "7f" + "ff" * 6):
                    handler.report([instance(number, trace_id=trace) for number in (1, 2)])
                await until(lambda: len(zipkin.store) == 2, "they arrive")
            return [each["traceId"] for each in await zipkin.get(f"trace/{'00' * 9}7f{'ff' * 6}")]

    assert run(scenario()) == ["00" * 9 + "7f" + "ff" * 6] * 2


@pytest.mark.parametrize(
    ("model", "given", "path"),
    [
        (ZipkinParams, {"url": "collector:9411"}, "url"),
        (OpenTelemetryParams, {"endpoint": "http://a:4317/v1/traces"}, "endpoint"),
        (OpenTelemetryParams, {"endpoint": "ftp://a"}, "endpoint"),
    ],
)
def test_wrong_parameters_are_told(model: Any, given: dict[str, str], path: str) -> None:
    assert [each.path for each in faults(model.model_validate(given), "params")] == [f"params.{path}"]
