"""What the programs of the control plane answer for monitoring: `/metrics`, `/ready`, `/version`."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from mesh.version import __version__


def monitored(registry: CollectorRegistry, ready: Callable[[], bool] = lambda: True) -> web.Application:
    """An application with the three paths; others may be added."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain")

    async def readiness(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(status=503, text="not ready\n")

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": __version__})

    made = web.Application()
    made.add_routes(
        [web.get("/metrics", metrics), web.get("/ready", readiness), web.get("/version", version)]
    )
    return made
