"""The gRPC shell of xDS: streams in and out, bytes to values and back. Decides nothing.

Generic handlers with bytes, because resources come prepared; `xds-protos`' servicers would parse and build
every message again.

With a `Door`, callers are authenticated by their certificates; without, anybody is served, so that is for
loopback only.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog

from mesh.model.trust import TrustBundle
from mesh.pilot.ads import wire
from mesh.pilot.ads.door import Door, Forbidden, Unknown
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.ads.standard import add_standard_services
from mesh.pilot.ads.stream import Stream
from mesh.ports import grpc_port

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"

LONGEST = 64 * 2**20
"""Bytes of a client's message; one that comes back lists all that it has."""

STREAMS = 100
"""Streams of one connection at a time. A proxy needs one."""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared in silence
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", LONGEST),
    ("grpc.max_concurrent_streams", STREAMS),
    ("grpc.keepalive_time_ms", 30_000),  # notices a proxy that is gone without a word
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)

LOOK = 5.0
"""Seconds between looks at the clock: certificates of open streams may have expired."""

log = structlog.get_logger(component="ads")


class AdsServer:
    """Serves aggregated discovery, delta and state-of-the-world, for all `sessions`."""

    def __init__(self, sessions: Sessions, door: Door | None = None) -> None:
        self.sessions = sessions
        self.door = door
        self._streams: set[Stream] = set()
        self._server: grpc.aio.Server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        if door is not None:
            door.trust.subscribe(self._trust_changed)

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
        """Bind `host:port` (0: any port) and give back the port; raises `CannotListen`."""
        return grpc_port(self._server, address, credentials, what="xDS")

    async def start(self) -> None:
        """Begin to serve."""
        if self.door is None:
            # Not where callers are authenticated: these services would not ask who calls.
            await add_standard_services(self._server, SERVICE)
        await self._server.start()

    async def stop(self, grace: float = 0.0) -> None:
        """End all streams; the proxies go on with what they have and connect again elsewhere."""
        if self.door is not None:
            self.door.trust.unsubscribe(self._trust_changed)
        await self._server.stop(grace)

    async def watch_expiry(self) -> None:
        """End streams whose caller's certificate expires, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            self.sweep()

    def _trust_changed(self, _: TrustBundle) -> None:
        self.sweep()

    def sweep(self) -> None:
        """End the streams of callers that are to be let in no longer."""
        for stream in tuple(self._streams):
            stream.confirm()

    async def _delta(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await self._serve(requests, context, sotw=False)

    async def _sotw(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await self._serve(requests, context, sotw=True)

    async def _serve(self, requests: AsyncIterator[bytes], context: Any, *, sotw: bool) -> None:
        stream = Stream(self.sessions, self.door, context, sotw=sotw)
        self._streams.add(stream)
        try:
            await stream.run(requests)
        except wire.BadMessage as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, error)
        except Unknown as error:
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, error)
        except Forbidden as error:
            await self._refuse(context, grpc.StatusCode.PERMISSION_DENIED, error)
        except Exception as error:
            self.sessions.metrics.internal_errors.inc()
            log.exception("stream failed", **stream.describe())
            await context.abort(
                grpc.StatusCode.INTERNAL, f"a fault of Pilot: {type(error).__name__}: {error}"
            )
        finally:
            self._streams.discard(stream)

    async def _refuse(self, context: Any, code: Any, error: Exception) -> None:
        self.sessions.metrics.refused.labels(reason=code.name).inc()
        log.warning("stream refused", peer=context.peer(), code=code.name, reason=str(error))
        await context.abort(code, str(error))
