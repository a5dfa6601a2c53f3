"""What the programs of the control plane answer for monitoring: `/metrics`, `/ready`, `/version`."""

from collections.abc import Awaitable, Callable
from functools import wraps
from ipaddress import ip_address

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from mesh.version import __version__

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_near(request: web.Request) -> bool:
    """Whether the caller is on loopback: in the Pod, or let to it by who may forward ports."""
    try:
        return request.remote is not None and ip_address(request.remote).is_loopback
    except ValueError:
        return False


def for_loopback(answer: Answer) -> Answer:
    """A handler that answers callers on loopback only, and tells the others how to become one."""

    @wraps(answer)
    async def guarded(request: web.Request) -> web.StreamResponse:
        return await answer(request) if is_near(request) else refusal(request)

    return guarded


def refusal(request: web.Request) -> web.Response:
    """What somebody elsewhere is told."""
    port = request.url.port
    text = (
        f"{request.path} is for callers on loopback, and you call from {request.remote}; "
        f"forward the port: kubectl -n istio-system port-forward POD {port}\n"
    )
    return web.Response(status=403, text=text)


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
