"""Spans as Envoy sends them, a receiver on loopback, and collectors of OTLP with the official messages."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from aiohttp import web
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client import CollectorRegistry

from mesh.mixer.tracing.app import Take
from mesh.mixer.tracing.serve import SpanServer
from mesh.mixer.tracing.store import SpanStore

TRACE = "463ac35c9f6413ad48485a3953bb6124"
NOW = 1_700_000_000_000_000
Json = dict[str, Any]


def span(id: str = "a2fb4a1d1a96d312", kind: str = "SERVER", **more: Any) -> Json:  # noqa: A002
    """A span as JSON, as Envoy makes it at forecast."""
    return {
        "traceId": TRACE,
        "id": id,
        "kind": kind,
        "name": "forecast.weather.svc.cluster.local:3002/*",
        "timestamp": NOW,
        "duration": 2500,
        "localEndpoint": {"serviceName": "forecast.weather", "ipv4": "10.0.0.1", "port": 0},
        "tags": {
            "component": "proxy",
            "node_id": "sidecar~10.0.0.1~forecast-v1.weather~weather.svc.cluster.local",
            "http.url": "http://forecast:3002/weather?city=Hangzhou",
            "http.method": "GET",
            "http.status_code": "200",
            "user_agent": "curl/8",
            "guid:x-request-id": "r-1",
            "request_size": "0",
            "response_size": "592",
            "response_flags": "-",
            "upstream_cluster": "inbound|3002||",
            "peer.address": "10.0.0.2",
            "peer.principal": "spiffe://cluster.local/ns/weather/sa/frontend",
            "http.request.header.end-user": "ann",
        },
        **more,
    }


def nothing(_: Any) -> Mapping[str, str]:
    """No rules."""
    return {}


@dataclass
class Receiver:
    """A receiver and a client of it."""

    store: SpanStore
    server: SpanServer
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def post(self, *spans: Json, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        kept = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = body if body is not None else json_of(spans)
        async with self.session.post(f"{self.url}/api/v2/spans", data=data, headers=kept) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str, **params: str | int) -> Any:
        async with self.session.get(f"{self.url}/api/v2/{path}", params=params) as answer:
            return await answer.json() if answer.status == 200 else (answer.status, await answer.text())


def json_of(spans: Any) -> bytes:
    import json

    return json.dumps(list(spans)).encode()


@asynccontextmanager
async def receiving(
    take: Take = nothing, store: SpanStore | None = None, **more: Any
) -> AsyncIterator[Receiver]:
    """A receiver on loopback, until the block ends."""
    kept = store if store is not None else SpanStore()
    server = SpanServer(kept, take, host="127.0.0.1", port=0, **more)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Receiver(kept, server, session)
    finally:
        await server.close()


@dataclass
class Otlp:
    """A collector of OTLP. `refusing` spans of each batch are refused; `status` (HTTP) fails all."""

    url: str = ""
    requests: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    answer: bytes = b""
    status: int = 200

    @property
    def spans(self) -> list[trace_pb2.Span]:
        return [
            each
            for request in self.requests
            for resource in request.resource_spans
            for library in resource.instrumentation_library_spans
            for each in library.spans
        ]

    def take(self, body: bytes) -> bytes:
        message = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        assert not unknown(message)
        self.requests.append(message)
        return self.answer


def unknown(message: Any) -> bool:
    """Whether there is something in a message that the official ones do not have."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    every = [message, *(each for each in message.resource_spans)]
    return any(len(UnknownFieldSet(each)) for each in every)


@asynccontextmanager
async def otlp_http() -> AsyncIterator[Otlp]:
    """A collector over HTTP."""
    found = Otlp()

    async def take(request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        found.headers.append(dict(request.headers))
        if found.status != 200:
            return web.Response(status=found.status)
        return web.Response(body=found.take(await request.read()), content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def otlp_grpc() -> AsyncIterator[Otlp]:
    """A collector over gRPC."""
    found = Otlp()

    async def take(request: bytes, context: Any) -> bytes:
        found.headers.append(dict(context.invocation_metadata()))
        return found.take(request)

    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(take)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        found.url = f"http://127.0.0.1:{port}"
        yield found
    finally:
        await server.stop(None)


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """A metric's value; 0 if there is none."""
    return registry.get_sample_value(name, labels) or 0.0
