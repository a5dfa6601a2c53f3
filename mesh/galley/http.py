"""Galley's HTTP: how it serves, and the port with metrics, readiness and version, where it runs alone."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import generate_latest

from mesh.galley.metrics import Metrics
from mesh.galley.server import CannotListen
from mesh.version import __version__


@asynccontextmanager
async def serving_http(metrics: Metrics, host: str, port: int) -> AsyncIterator[int]:
    """Serve; the port that was bound. Raises `CannotListen`."""
    app = web.Application()
    app.router.add_get("/metrics", lambda _: _text(generate_latest(metrics.registry).decode()))
    app.router.add_get("/ready", lambda _: _text("ready\n"))
    app.router.add_get("/version", lambda _: _text(f'{{"version": "{__version__}"}}'))
    async with bound(app, host, port) as taken:
        yield taken


@asynccontextmanager
async def bound(
    app: web.Application, host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve an application; the port that was bound. Raises `CannotListen`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await _begin(web.TCPSite(runner, host, port, ssl_context=tls), f"{host}:{port}")
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _begin(site: web.TCPSite, address: str) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(f"cannot serve on {address}: {reason}; free the port, or choose another") from None


async def _text(text: str) -> web.Response:
    return web.Response(text=text)
