"""`opentelemetry`: spans to a collector by OTLP, over gRPC or HTTP, in the official messages.

The messages are those that xds-protos ships; they name `instrumentation_library_spans` what newer versions
call `scope_spans`, with the same number and content on the wire.
Source: OTLP's specification 1.x (retries, partial success), OpenTelemetry's semantic conventions.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import aiohttp
import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from mesh.api.checks import Fault, check
from mesh.mixer.adapters.batches import REFUSED, UNCERTAIN, Batches, Lost, Unsent, export_metrics
from mesh.mixer.adapters.exporting import ExportParams, post, session, spans_of, url_faults
from mesh.mixer.tracing.spans import Span
from mesh.rules.adapter import Adapter, Environment, Instance
from mesh.version import __version__

PATH = "/v1/traces"
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SCOPE = "meshwright"
UNNAMED = "unknown_service"  # as OpenTelemetry has it
KINDS = {
    "SERVER": trace_pb2.Span.SPAN_KIND_SERVER,
    "CLIENT": trace_pb2.Span.SPAN_KIND_CLIENT,
    "PRODUCER": trace_pb2.Span.SPAN_KIND_PRODUCER,
    "CONSUMER": trace_pb2.Span.SPAN_KIND_CONSUMER,
}
NUMBERS = frozenset({"http.status_code", "request.size", "response.size"})
"""Tags whose values OpenTelemetry has as numbers."""


class OpenTelemetryParams(ExportParams):
    """`endpoint` is a URL: `http://collector:4317` (gRPC), `http://collector:4318` (HTTP); https is TLS by
    the machine's authorities. `headers` go with each export.
    """

    endpoint: str
    protocol: Literal["grpc", "http/protobuf"] = "grpc"

    @check
    def _endpoint(self) -> Iterator[Fault]:
        yield from url_faults("endpoint", self.endpoint)
        path = urlsplit(self.endpoint).path.strip("/")
        if self.protocol == "grpc" and path:
            yield Fault("endpoint", f"has a path ({path}), which gRPC has not", "leave it out")

    def target(self) -> str:
        """The URL with its path, for HTTP."""
        has_path = urlsplit(self.endpoint).path.strip("/")
        return self.endpoint if has_path else self.endpoint.rstrip("/") + PATH


class OpenTelemetry(Adapter[OpenTelemetryParams]):
    """Sends each span once."""

    name: ClassVar[str] = "opentelemetry"
    templates: ClassVar[frozenset[str]] = frozenset({"tracespan"})
    Params = OpenTelemetryParams

    def __init__(self, params: OpenTelemetryParams, environment: Environment) -> None:
        super().__init__(params, environment)
        metrics = export_metrics(environment.metrics)
        self._batches: Batches[Span] = Batches(environment.handler, self._send, metrics, params.limits())
        self._way: OverGrpc | OverHttp | None = None

    async def start(self) -> None:
        """Begin to send; a collector that is away is no reason not to."""
        self._way = OverGrpc(self.params) if self.params.protocol == "grpc" else OverHttp(self.params)
        self.environment.background(self._batches.run(), "export")

    async def close(self) -> None:
        """Send what waits, within reason."""
        if self._way is None:
            return
        await self._batches.close()
        await self._way.close()

    def report(self, instances: Sequence[Instance]) -> None:
        """Queue spans."""
        self._batches.put(spans_of(instances, self.params.sample_probability))

    async def _send(self, spans: Sequence[Span]) -> None:
        if self._way is not None:
            refused(await self._way.export(request(spans)), len(spans))


class OverHttp:
    """OTLP over HTTP: protobuf by POST."""

    def __init__(self, params: OpenTelemetryParams) -> None:
        self._params = params
        self._session: aiohttp.ClientSession = session(params.timeout)

    async def export(self, message: trace_service_pb2.ExportTraceServiceRequest) -> bytes:
        """Send a batch; the answer's bytes. Raises `Unsent` or `Lost`."""
        headers = {"content-type": "application/x-protobuf", **self._params.headers}
        return await post(self._session, self._params.target(), message.SerializeToString(), headers)

    async def close(self) -> None:
        """Let go of it."""
        await self._session.close()


class OverGrpc:
    """OTLP over gRPC. A batch goes only on a connection that is there: what fails afterwards may have
    arrived, and is not sent again.
    """

    def __init__(self, params: OpenTelemetryParams) -> None:
        parts = urlsplit(params.endpoint)
        target = parts.netloc if parts.port else f"{parts.netloc}:4317"
        secure = parts.scheme == "https"
        make: Any = grpc.aio.secure_channel if secure else grpc.aio.insecure_channel
        self._channel: Any = make(target, *([grpc.ssl_channel_credentials()] if secure else []))
        self._call = self._channel.unary_unary(METHOD)
        self._target = target
        self._timeout = params.timeout
        self._metadata = tuple((name.lower(), value) for name, value in params.headers.items())

    async def export(self, message: trace_service_pb2.ExportTraceServiceRequest) -> bytes:
        """Send a batch; the answer's bytes. Raises `Unsent` or `Lost`."""
        await self._connected()
        try:
            answer: bytes = await self._call(
                message.SerializeToString(), timeout=self._timeout, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise self._lost(error) from None
        return answer

    async def _connected(self) -> None:
        """Wait for a connection; raises `Unsent`."""
        try:
            async with asyncio.timeout(self._timeout):
                while (state := self._channel.get_state(try_to_connect=True)) is not READY:
                    await self._channel.wait_for_state_change(state)
        except TimeoutError:
            raise Unsent(f"{self._target} cannot be reached within {self._timeout:g} s") from None

    def _lost(self, error: Any) -> Exception:
        words = f"{self._target} answered {error.code().name}: {error.details()}"
        uncertain = {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
        }
        return Lost(words, UNCERTAIN if error.code() in uncertain else REFUSED)

    async def close(self) -> None:
        """Let go of it."""
        await self._channel.close()


READY = grpc.ChannelConnectivity.READY


def refused(answer: bytes, count: int) -> None:
    """Raise `Lost` for the spans that a collector did not want (partial success: field 1, of it 1 and 2)."""
    for outer in unknown(answer):
        if outer.field_number == 1 and isinstance(outer.data, bytes):
            found = {each.field_number: each.data for each in unknown(outer.data)}
            if rejected := min(found.get(1, 0), count):
                raise Lost(f"it refused {rejected} spans: {found.get(2, b'').decode()}", count=rejected)


def unknown(content: bytes) -> Sequence[Any]:
    """The fields of a message that is not known here: Response has none in xds-protos."""
    message = trace_service_pb2.ExportTraceServiceResponse()
    message.ParseFromString(content)
    fields: Any = UnknownFieldSet(message)
    return [*fields]


# Messages


def request(spans: Sequence[Span]) -> trace_service_pb2.ExportTraceServiceRequest:
    """A batch: one resource for each service."""
    by_service: dict[str, list[Span]] = {}
    for each in spans:
        by_service.setdefault(each.local.service or UNNAMED, []).append(each)
    result = trace_service_pb2.ExportTraceServiceRequest()
    for service, some in by_service.items():
        resource = result.resource_spans.add()
        attribute(resource.resource.attributes, "service.name", service)
        library = resource.instrumentation_library_spans.add()
        library.instrumentation_library.name = SCOPE
        library.instrumentation_library.version = __version__
        library.spans.extend(message(each) for each in some)
    return result


def message(span: Span) -> trace_pb2.Span:
    """A span in OTLP's form; times are nanoseconds."""
    result = trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id.rjust(32, "0")),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name or "unknown",
        kind=KINDS.get(span.kind, trace_pb2.Span.SPAN_KIND_INTERNAL),
        start_time_unix_nano=span.timestamp * 1000,
        end_time_unix_nano=(span.timestamp + span.duration) * 1000,
    )
    for name, value in span.tags.items():
        attribute(result.attributes, name, value)
    if span.remote.service:
        attribute(result.attributes, "peer.service", span.remote.service)
    if span.remote.ip:
        attribute(result.attributes, "net.peer.ip", span.remote.ip)
    if failed(span):
        result.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    return result


def attribute(to: Any, name: str, value: str) -> None:
    """Add an attribute."""
    found = to.add(key=name)
    if name in NUMBERS and value.isascii() and value.isdecimal():
        found.value.int_value = int(value)
    else:
        found.value.string_value = value


def failed(span: Span) -> bool:
    """Whether a call failed: for servers from 500 on, for clients from 400 on (conventions for HTTP)."""
    code = span.tags.get("http.status_code", "")
    least = 400 if span.kind == "CLIENT" else 500
    return "error" in span.tags or (code.isdecimal() and int(code) >= least)
