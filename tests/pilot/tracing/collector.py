"""A collector of Zipkin v2 in a thread of its own: Mixer's receiver and store, as they are."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from mesh.mixer.tracing.app import routes
from mesh.mixer.tracing.spans import Span
from mesh.mixer.tracing.store import SpanStore


class Collector:
    """What has arrived. `bodies` are the POSTs, byte by byte."""

    def __init__(self) -> None:
        self.store = SpanStore()
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []
        self.otlp: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.port = 0
        self._some = threading.Condition()

    def take(self, span: Span) -> Mapping[str, str]:
        with self._some:
            self.spans.append(span)
            self._some.notify_all()
        return {}

    def until(self, wanted: Callable[[list[Span]], bool], seconds: float = 20) -> list[Span]:
        """Wait until the spans are as wanted."""
        with self._some:
            arrived = self._some.wait_for(lambda: wanted(self.spans), seconds)
            assert arrived, f"not within {seconds} s; there are {[each.plain() for each in self.spans]}"
            return list(self.spans)

    def of(self, request_id: str, count: int) -> list[Span]:
        """The spans of one request, once there are so many, in order of time."""
        found = self.until(lambda every: len(matching(every, request_id)) >= count)
        return sorted(matching(found, request_id), key=lambda each: each.timestamp)

    async def _otlp(self, request: web.Request) -> web.Response:
        message = trace_service_pb2.ExportTraceServiceRequest.FromString(await request.read())
        with self._some:
            self.otlp.append(message)
            self._some.notify_all()
        return web.Response(content_type="application/x-protobuf")

    def otlp_spans(self) -> list[tuple[str, trace_pb2.Span]]:
        """What came by OTLP: spans, each with its service."""
        return [
            (service_of(resource), span)
            for message in self.otlp
            for resource in message.resource_spans
            for library in resource.instrumentation_library_spans
            for span in library.spans
        ]

    def until_otlp(self, count: int, seconds: float = 20) -> list[tuple[str, trace_pb2.Span]]:
        """Wait until so many spans came by OTLP."""
        with self._some:
            arrived = self._some.wait_for(lambda: len(self.otlp_spans()) >= count, seconds)
            assert arrived, f"not within {seconds} s; there are {self.otlp_spans()}"
            return self.otlp_spans()

    @web.middleware
    async def _keep(self, request: web.Request, handler: Callable[..., object]) -> web.StreamResponse:
        self.bodies.append(await request.read())
        answer = await handler(request)  # type: ignore[misc]
        assert isinstance(answer, web.StreamResponse)
        return answer

    async def serve(self, ready: threading.Event, ended: asyncio.Event) -> None:
        app = web.Application(middlewares=[self._keep])
        app.add_routes(routes(self.store, self.take))
        app.router.add_post("/v1/traces", self._otlp)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            ready.set()
            await ended.wait()
        finally:
            await runner.cleanup()


def service_of(resource: trace_pb2.ResourceSpans) -> str:
    """The service whose spans these are."""
    found = {each.key: each.value.string_value for each in resource.resource.attributes}
    return found.get("service.name", "")


def matching(spans: list[Span], request_id: str) -> list[Span]:
    """The spans of one request."""
    return [each for each in spans if each.tags.get("guid:x-request-id") == request_id]


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens, until the block ends."""
    collector, ready = Collector(), threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    def run() -> None:
        loop.run_until_complete(collector.serve(ready, ended))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        yield collector
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
