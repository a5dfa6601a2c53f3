"""The port with metrics, readiness and the debug interface; the same for both Mixer programs."""

from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from mesh.mixer.core import Following
from mesh.monitoring import for_loopback, monitored


def app(
    registry: CollectorRegistry,
    ready: Callable[[], bool],
    debug: Callable[[], dict[str, Any]],
    routes: Iterable[web.RouteDef] = (),
) -> web.Application:
    """`/metrics`, `/ready`, `/version`, `/debug/mixer` (from loopback only), and further routes."""

    async def mixer(_: web.Request) -> web.Response:
        return web.json_response(debug())

    made = monitored(registry, ready)
    made.router.add_get("/debug/mixer", for_loopback(mixer))
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
        "problems": following.problems,
        "versions": dict(following.versions),
    }
