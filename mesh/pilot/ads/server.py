"""The gRPC shell of xDS: streams in and out, bytes to values and back. Decides nothing.

Generic handlers with bytes, because resources come prepared; `xds-protos`' servicers would parse and build
every message again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog

from mesh.model import Proxy
from mesh.pilot.ads import wire
from mesh.pilot.ads.session import Session, describe
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.ads.standard import add_standard_services

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared in silence
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),  # notices a proxy that is gone without a word
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)

log = structlog.get_logger(component="ads")


class PortTaken(Exception):
    """The address to listen on cannot be had."""


class AdsServer:
    """Serves aggregated discovery, delta and state-of-the-world, for all `sessions`."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._server: grpc.aio.Server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self._handlers(),))

    @property
    def grpc(self) -> grpc.aio.Server:
        """The server itself, for further services (health, certificates) on the same port."""
        return self._server

    def _handlers(self) -> Any:
        methods = {
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(self._sotw),
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(self._delta),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def listen(self, address: str, credentials: Any = None) -> int:
        """Bind `host:port` (0: any port) and give back the port; raises `PortTaken`."""
        try:
            if credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise PortTaken(f"cannot listen for xDS on {address}: {error}") from None
        return int(port)

    async def start(self) -> None:
        """Begin to serve."""
        await add_standard_services(self._server, SERVICE)
        await self._server.start()

    async def stop(self, grace: float = 0.0) -> None:
        """End all streams; the proxies go on with what they have and connect again elsewhere."""
        await self._server.stop(grace)

    async def _delta(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await self._stream(requests, context, sotw=False)

    async def _sotw(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await self._stream(requests, context, sotw=True)

    async def _stream(self, requests: AsyncIterator[bytes], context: Any, *, sotw: bool) -> None:
        session: Session | None = None
        writer: asyncio.Task[None] | None = None
        try:
            async for raw in requests:
                request, proxy = wire.parse(raw, sotw=sotw)
                if session is None:
                    session = self._open(proxy, context, sotw)
                    writer = asyncio.create_task(_write(session, context.write))
                session.receive(request)
        except wire.BadMessage as error:
            log.warning("stream refused", peer=context.peer(), reason=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:
            self.sessions.metrics.internal_errors.inc()
            log.exception("stream failed", **(describe(session) if session else {"peer": context.peer()}))
            await context.abort(
                grpc.StatusCode.INTERNAL, f"a fault of Pilot: {type(error).__name__}: {error}"
            )
        finally:
            if writer is not None:
                writer.cancel()
            if session is not None:
                self.sessions.close(session)

    def _open(self, proxy: Proxy | None, context: Any, sotw: bool) -> Session:
        if proxy is None:
            raise wire.BadMessage("the first request of a stream must name its node")
        session = self.sessions.open(proxy, sotw=sotw, peer=context.peer())
        log.info("connected", **describe(session))
        return session


async def _write(session: Session, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Send what the session has to say, as fast as the client reads."""
    sotw = session.machine.sotw
    while True:
        response = await session.outbox.get()
        await write(wire.encode(response, sotw=sotw))
