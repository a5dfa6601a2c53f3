"""The port for spans and queries: mutual TLS from proxies of the mesh, clear text from loopback.

Proxies begin with TLS, because the Pod says that it takes mutual TLS; people, by a forwarded port, ask in
clear text. So connections are told apart by their first byte, as a sidecar does in PERMISSIVE mode.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from mesh.mixer.attributes.workload import Workloads
from mesh.mixer.live import Live
from mesh.mixer.tracing.app import Take, routes
from mesh.mixer.tracing.metrics import SpanMetrics
from mesh.mixer.tracing.rules import SpanRules
from mesh.mixer.tracing.store import SpanStore
from mesh.monitoring import Answer, is_near, refusal
from mesh.ports import CannotListen

PORT = 9411
LARGEST_BODY = 8 * 1024 * 1024
PATIENCE = 10.0
"""Seconds in which a caller must begin to speak."""

HANDSHAKE = 22
"""The first byte of TLS (RFC 8446, 5.1)."""


class SpanServer:
    """Serves the routes from `start` until `close`. Without `context` only clear text is understood."""

    def __init__(
        self,
        store: SpanStore,
        take: Take,
        *,
        host: str = "0.0.0.0",
        port: int = PORT,
        context: ssl.SSLContext | None = None,
        further: Sequence[web.RouteDef] = (),
    ) -> None:
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_known])
        app.add_routes([*routes(store, take), *further])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._context = context
        self._host, self.port = host, port
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<SpanServer on port {self.port}, {len(self._tasks)} tasks>"

    async def start(self) -> None:
        """Listen; raises `CannotListen`. `port` is then the one that was got."""
        await self._runner.setup()
        try:
            self._socket = socket.create_server((self._host, self.port), backlog=1024)
        except OSError as error:
            await self._runner.cleanup()
            raise CannotListen.at(f"{self._host}:{self.port}", "traces", error) from None
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._in_background(self._accept(self._socket))

    async def close(self) -> None:
        """End; requests that are under way are answered."""
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        await self._runner.cleanup()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError:  # the caller is gone again, or there are too many files: neither ends the server
                await asyncio.sleep(0.01)
                continue
            self._in_background(self._take(connection))

    async def _take(self, connection: socket.socket) -> None:
        """Hand a connection to the server, with TLS if it begins so."""
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            connection.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                secure = await first_byte(connection) == HANDSHAKE
            context = self._context if secure else None
            await loop.connect_accepted_socket(server, connection, ssl=context)
        except (OSError, TimeoutError, asyncio.CancelledError):  # TLS that fails is an OSError too
            connection.close()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@web.middleware
async def _known(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Spans tell much of those who call, and made-up ones mislead: strangers neither ask nor send."""
    return await handler(request) if request.secure or is_near(request) else refusal(request)


@asynccontextmanager
async def spans_served(
    live: Callable[[], Live],
    workloads: Workloads,
    registry: CollectorRegistry,
    *,
    host: str = "0.0.0.0",
    port: int = PORT,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[SpanServer]:
    """Take spans, complete and forward them by the rules that `live` gives, and keep the last ones, until the
    block ends. Raises `CannotListen`.
    """
    store = SpanStore()
    metrics = SpanMetrics(store, registry)
    server = SpanServer(store, SpanRules(live, workloads).take, host=host, port=port, context=context)
    try:
        await server.start()
        yield server
    finally:
        await server.close()
        registry.unregister(metrics)


async def first_byte(connection: socket.socket) -> int:
    """The first byte of a connection, which stays there to be read; -1 if it ends without one."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    found = connection.recv(1, socket.MSG_PEEK)
    return found[0] if found else -1
