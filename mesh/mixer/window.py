"""The port with metrics, readiness and the debug interface; the same for both Mixer programs."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from mesh.mixer.core import Following
from mesh.version import __version__

LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


class CannotListen(Exception):
    """An address to serve on cannot be had."""


def app(
    registry: CollectorRegistry,
    ready: Callable[[], bool],
    debug: Callable[[], dict[str, Any]],
    routes: Iterable[web.RouteDef] = (),
) -> web.Application:
    """`/metrics`, `/ready`, `/version`, `/debug/mixer` (from loopback only), and further routes."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain")

    async def readiness(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(status=503, text="not ready\n")

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": __version__})

    async def mixer(request: web.Request) -> web.Response:
        if request.remote not in LOOPBACK:
            return web.Response(status=403, text="/debug is for callers on loopback: forward the port\n")
        return web.json_response(debug())

    made = web.Application()
    made.router.add_get("/metrics", metrics)
    made.router.add_get("/ready", readiness)
    made.router.add_get("/version", version)
    made.router.add_get("/debug/mixer", mixer)
    made.add_routes(routes)
    return made


def shown(following: Following) -> dict[str, Any]:
    """What is in force, for `/debug/mixer`: rules, handlers that run and that do not, what was left out."""
    live, handlers = following.live, following.handlers
    return {
        "generation": following.generation,
        "rules": [f"{rule.key.name}.{rule.namespace}" for rule in live.ruleset.rules],
        "handlers": {name: each.config.adapter.name for name, each in sorted(live.running.items())},
        "broken": dict(handlers.broken),
        "problems": [str(each) for each in live.ruleset.problems],
        "versions": dict(following.versions),
    }


@asynccontextmanager
async def bound(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve an application; the port that was bound. Raises `CannotListen`."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await _begin(web.TCPSite(runner, host, port), f"{host}:{port}")
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _begin(site: web.TCPSite, address: str) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(f"cannot serve on {address}: {reason}; free the port, or choose another") from None
