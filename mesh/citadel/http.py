"""Citadel's HTTP port, where it runs alone: metrics, readiness, version."""

import os
from contextlib import AsyncExitStack

from aiohttp import web

from mesh.citadel.errors import CannotListen
from mesh.citadel.metrics import Metrics
from mesh.version import __version__


async def serve_http(stack: AsyncExitStack, metrics: Metrics, host: str, port: int) -> int:
    """Serve until the stack is left; the port that it has. Raises `CannotListen`."""

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), content_type="text/plain")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready\n")

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": __version__})

    app = web.Application()
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/ready", ready)
    app.router.add_get("/version", version)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(
            f"cannot serve HTTP on {host}:{port}: {reason}; free the port, or choose another"
        ) from None
    return int(runner.addresses[0][1])
