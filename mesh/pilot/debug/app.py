"""Pilot's HTTP interface (port 15014): metrics, readiness, and what people and tests ask of it. JSON."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from mesh.model import Proxy
from mesh.monitoring import is_near
from mesh.pilot.ads.programmed import Programmed
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.session import Session
from mesh.pilot.compile import Compiler
from mesh.pilot.debug.agents import Agents
from mesh.pilot.debug.inforce import Barrier, Wanted
from mesh.pilot.debug.mixer import plan
from mesh.pilot.debug.plain import plain
from mesh.pilot.debug.status import proxy_status, syncz
from mesh.pilot.metrics import short
from mesh.pilot.problems import problems
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.world import World
from mesh.version import __version__

LONGEST_WAIT = 600.0  # seconds that a request may wait for a change to be in force

log = structlog.get_logger(component="debug")


class BadRequest(Exception):
    """What was asked makes no sense; the text says why."""


class Window:
    """The handlers of the interface, on one Pilot."""

    def __init__(self, world: World, pushes: Pushes, agents: Agents, programmed: Programmed) -> None:
        self.programmed = programmed
        self.world = world
        self.pushes = pushes
        self.sessions = pushes.sessions
        self.barrier = Barrier(pushes, world, agents)

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[_errors, _loopback])
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/ready", self.ready)
        app.router.add_get("/version", self.version)
        for path, handler in self._debug().items():
            app.router.add_get(f"/debug/{path}", handler)
        app.router.add_post("/debug/in-force", self.in_force)
        return app

    def _debug(self) -> dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        return {
            "syncz": self.syncz,
            "history": self.history,
            "registry": self.registry,
            "config": self.config,
            "statistics": self.statistics,
            "deliveries": self.deliveries,
            "agents": self.agents,
            "trust": self.trust,
            "mixer": self.mixer,
        }

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        body = self.sessions.metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def ready(self, request: web.Request) -> web.Response:
        """200: this is served only once Pilot knows the world and takes proxies."""
        return web.Response(text="ready\n")

    async def version(self, request: web.Request) -> web.Response:
        """Pilot's version."""
        return _json({"version": __version__})

    async def syncz(self, request: web.Request) -> web.Response:
        """The proxies and how far each is."""
        return _json(syncz(self.sessions))

    async def agents(self, request: web.Request) -> web.Response:
        """The proxies' agents that are connected, in the form of the proxies."""
        agents = (session for session in self.sessions if session.is_agent)
        return _json([proxy_status(session) for session in sorted(agents, key=lambda each: each.id)])

    async def trust(self, request: web.Request) -> web.Response:
        """The trust bundle: the newest, the last that was in force everywhere, and who lacks the newest."""
        newest, announced = self.programmed.digest(), self.programmed.announced
        missing = [] if newest == announced else list(self.programmed.missing())
        return _json({"digest": newest, "programmed": announced, "missing": missing})

    async def mixer(self, request: web.Request) -> web.Response:
        """Which way each of Mixer's rules goes at the proxies that are connected, and why."""
        snapshot, compiler = self.world.snapshot, self.sessions.compiler
        if not isinstance(snapshot, Snapshot) or not isinstance(compiler, Compiler):
            return _json([])
        proxies = sorted((each.proxy for each in self.sessions if not each.is_agent), key=_named)
        return _json(plan(snapshot, compiler, proxies))

    async def history(self, request: web.Request) -> web.Response:
        """The last pushes, the oldest first."""
        return _json(plain(list(self.pushes.history)))

    async def registry(self, request: web.Request) -> web.Response:
        """Services, instances and workloads."""
        registry = self.world.registry
        return _json(
            {
                "services": plain(registry.services()),
                "instances": plain(registry.instances()),
                "workloads": plain(registry.workloads()),
            }
        )

    async def config(self, request: web.Request) -> web.Response:
        """The configuration in force, and what the snapshot finds missing in it."""
        snapshot = self.world.snapshot
        return _json(
            {
                "objects": [
                    plain(each) | {"rejected": self.world.rejected(each.key)}
                    for each in self.world.config.objects().values()
                ],
                "problems": plain(problems(snapshot) if isinstance(snapshot, Snapshot) else []),
            }
        )

    async def statistics(self, request: web.Request) -> web.Response:
        """Counts of everything."""
        compiler = getattr(self.sessions.compiler, "statistics", {})
        return _json(
            {
                "version": __version__,
                "snapshot": self.sessions.snapshot.version,
                "proxies": len(self.sessions),
                "changes": {"announced": self.pushes.asked, "pushed": self.pushes.done},
                "failure": self.pushes.failure,
                "compiler": plain(compiler() if callable(compiler) else compiler),
            }
        )

    async def deliveries(self, request: web.Request) -> web.Response:
        """The last messages to each proxy and what it said; `?proxy=NAME` for one."""
        wanted = request.query.get("proxy", "")
        return _json(
            {
                session.id: [
                    {
                        "type": short(each.type_url),
                        "nonce": each.nonce,
                        "snapshot": each.snapshot,
                        "names": sorted(each.names),
                        "sent_at": each.sent_at,
                        "answered_at": each.answered_at,
                        "error": each.error,
                    }
                    for each in session.journal
                ]
                for session in self.sessions
                if not session.is_agent and _is(session, wanted)
            }
        )

    async def in_force(self, request: web.Request) -> web.Response:
        """Wait until objects are in force; see `Barrier`."""
        wanted, seconds = _question(await request.text())
        verdict = await self.barrier.wait(wanted, seconds=seconds)
        return _json(verdict.plain())


def _named(proxy: Proxy) -> str:
    return proxy.id


def _is(session: Session, wanted: str) -> bool:
    proxy: Proxy = session.proxy
    return not wanted or wanted in (proxy.id, proxy.name)


def _question(text: str) -> tuple[list[Wanted], float]:
    try:
        body = json.loads(text)
        unknown = body.keys() - {"objects", "timeoutSeconds"}
        wanted = [Wanted.parse(each) for each in body.get("objects", [])]
        seconds = float(body.get("timeoutSeconds", 30))
    except AttributeError:
        raise BadRequest(f"a JSON object is expected, not {text!r}") from None
    except (ValueError, TypeError) as error:
        raise BadRequest(str(error)) from None
    if unknown:
        raise BadRequest(f"unknown fields {sorted(unknown)}; known are objects and timeoutSeconds")
    if not 0 <= seconds <= LONGEST_WAIT:
        raise BadRequest(f"timeoutSeconds: {seconds} is not between 0 and {LONGEST_WAIT:.0f}")
    return wanted, seconds


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A wrong question gets its reason; a fault of ours is logged and named as such."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _json({"message": str(error)}, 400)
    except web.HTTPException as error:
        return _json({"message": f"{request.method} {request.path}: {error.reason}"}, error.status)
    except Exception as error:
        log.exception("request failed", path=request.path)
        return _json({"message": f"a fault of Pilot, see its log: {type(error).__name__}: {error}"}, 500)


@web.middleware
async def _loopback(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The debug interface shows all of the mesh: only who may forward a port to this Pod gets to see it."""
    if request.path.startswith("/debug") and not is_near(request):
        message = f"{request.path} is for callers on loopback, and you call from {request.remote}"
        remedy = "use meshctl, or 'kubectl -n istio-system port-forward deploy/istio-pilot 15014'"
        return _json({"message": f"{message}; {remedy}"}, 403)
    return await handler(request)
