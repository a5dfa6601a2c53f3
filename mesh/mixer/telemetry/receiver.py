"""The gRPC shell of reports: streams of entries in, attributes to the rules' handlers. Decides nothing.

Envoy batches entries, and drops and counts what it cannot send; so nothing here makes a request wait.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from mesh.mixer.attributes.report import ReportAttributes, Reporter, Values, namespace_of, reporter
from mesh.mixer.attributes.workload import Workloads
from mesh.mixer.live import Live
from mesh.mixer.peers import Peers, Stranger, belongs
from mesh.mixer.telemetry.connections import CLOSE, CONTINUE, OPEN, Connections
from mesh.mixer.telemetry.metrics import TelemetryMetrics
from mesh.ports import grpc_port

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared in silence
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)
EVENTS = {accesslog_pb2.TcpUpstreamConnected: OPEN, accesslog_pb2.TcpPeriodic: CONTINUE}
"""What happened to a connection, by the type of its entry; all others tell of its end."""

GRACE = 3.0
"""Seconds in which streams may hand over what they have sent when the server stops."""

log = structlog.get_logger(component="telemetry")


class ReportServer:
    """Serves `StreamAccessLogs`. `peers` knows callers; None: anybody (on loopback, for tests)."""

    def __init__(
        self,
        live: Callable[[], Live],
        workloads: Workloads,
        metrics: TelemetryMetrics,
        *,
        peers: Peers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._live = live
        self._workloads = workloads
        self._attributes = ReportAttributes(workloads)
        self._metrics = metrics
        self._peers = peers
        self._connections = Connections(clock(), adopted=metrics.adopted)
        self._server: grpc.aio.Server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self._handlers(),))

    def __repr__(self) -> str:
        return f"<ReportServer: {len(self._connections)} connections known>"

    def _handlers(self) -> Any:
        method = grpc.stream_unary_rpc_method_handler(
            self._stream,
            request_deserializer=als_pb2.StreamAccessLogsMessage.FromString,
            response_serializer=als_pb2.StreamAccessLogsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": method})

    def listen(self, address: str, credentials: Any = None) -> int:
        """Bind `host:port` (0: any port) and give back the port; raises `CannotListen`."""
        return grpc_port(self._server, address, credentials, what="reports")

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()

    async def stop(self) -> None:
        """Take no more streams; what is on its way on others is still taken."""
        await self._server.stop(GRACE)

    async def _stream(self, messages: AsyncIterator[Any], context: Any) -> Any:
        """One proxy's stream: the first message says who it is and which side it reports."""
        self._metrics.streams.inc()
        first: Any = None
        try:
            async for message in messages:
                if message.HasField("identifier"):
                    first = message.identifier
                if first is None:
                    await context.abort(
                        grpc.StatusCode.INVALID_ARGUMENT, "the first message must say who reports"
                    )
                # Looked up each time: a Pod may be known later than its proxy reports.
                self.take(message, self._reporter(first, context))
        except Stranger as error:
            self._metrics.refused()
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        finally:
            self._metrics.streams.dec()
        return als_pb2.StreamAccessLogsResponse()

    def _reporter(self, identifier: Any, context: Any) -> Reporter:
        found = reporter(self._workloads, identifier.node.id, identifier.log_name)
        if self._peers is not None:
            caller = self._peers.identity(context)
            if not belongs(caller, found.workload):
                raise Stranger(f"{caller} reports calls of {found.uid}, which runs as another account")
        return found

    def take(self, message: Any, by: Reporter) -> None:
        """Hand the entries of a message to the handlers of rules."""
        self._metrics.messages()
        live = self._live().enter()
        try:
            calls = [(values, namespace_of(values)) for values in self._values(message, by)]
            self._metrics.instances(live.report(calls))
        finally:
            live.leave()

    def _values(self, message: Any, by: Reporter) -> Iterator[Values]:
        for entry in message.http_logs.log_entry:
            self._metrics.http()
            yield from self._read(lambda entry=entry: [self._attributes.http(entry, by)])  # type: ignore[misc]
        for entry in message.tcp_logs.log_entry:
            self._metrics.tcp()
            yield from self._read(lambda entry=entry: list(self._connection(entry, by)))  # type: ignore[misc]

    def _read(self, make: Callable[[], list[Values]]) -> list[Values]:
        """One entry that cannot be read must not take the others with it."""
        try:
            return make()
        except Exception as error:
            self._metrics.failed()
            log.warning("an entry cannot be read", error=f"{type(error).__name__}: {error}")
            return []

    def _connection(self, entry: Any, by: Reporter) -> Iterator[Values]:
        common, counts = entry.common_properties, entry.connection_properties
        values = self._attributes.tcp(entry, by)
        key = (f"{by.uid} {by.kind}", common.stream_id or unnamed(common))
        return self._connections.events(
            key,
            values,
            counts.received_bytes,
            counts.sent_bytes,
            event=EVENTS.get(common.access_log_type, CLOSE),
            began=common.start_time.ToMicroseconds() / 1e6,
        )


def unnamed(common: Any) -> str:
    """What tells connections apart that Envoy gives no id: the caller's end and when it began."""
    caller = common.downstream_remote_address.socket_address
    return f"{caller.address}:{caller.port_value} {common.start_time.ToMicroseconds()}"
