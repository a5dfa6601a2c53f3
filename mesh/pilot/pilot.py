"""A running Pilot, put together from its parts: sources, snapshots, proxies, and the window on all of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from mesh.model.sources import StatusSink
from mesh.pilot.ads.door import Door
from mesh.pilot.ads.programmed import Programmed, nobody
from mesh.pilot.ads.pushes import GATHER, Pushes
from mesh.pilot.ads.reports import Reports
from mesh.pilot.ads.server import AdsServer
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.ads.view import Compiler
from mesh.pilot.debug.agents import Agents
from mesh.pilot.debug.app import Window
from mesh.pilot.metrics import Metrics
from mesh.pilot.trust import trust_key
from mesh.pilot.world import World
from mesh.pki.holder import Holder
from mesh.pki.serving import grpc_credentials
from mesh.pki.trust import Trust
from mesh.ports import bound
from mesh.tasks import background, first_failure, unless_failed

LOOPBACK = "127.0.0.1"

log = structlog.get_logger(component="pilot")

__all__ = ["Listen", "Pilot", "serving"]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to serve; port 0 takes any that is free.

    `xds` is plain and therefore on loopback only, for debugging; `secure` is for proxies. `http` has metrics
    and readiness for all, and the debug interface for callers on loopback.
    """

    host: str = "0.0.0.0"
    xds: int = 15010
    http: int = 15014
    secure: int = 15012


@dataclass(slots=True)
class Pilot:
    """A running Pilot; `xds`, `secure` and `http` are the ports that it has (0: not served)."""

    world: World
    sessions: Sessions
    pushes: Pushes
    xds: int
    http: int
    tasks: list[asyncio.Task[None]]
    secure: int = 0

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        await first_failure(self.tasks)


@asynccontextmanager
async def serving(
    world: World,
    compiler: Compiler,
    listen: Listen,
    *,
    identity: Holder | None = None,
    trust: Trust | None = None,
    domains: Callable[[], tuple[str, ...]] = lambda: ("cluster.local",),
    status: StatusSink | None = None,
    programmed: Callable[[str], Awaitable[None]] | None = None,
    system_namespace: str = "istio-system",
    metrics: Metrics | None = None,
    gather: float = GATHER,
) -> AsyncIterator[Pilot]:
    """Run Pilot: first learn the world, then serve, so that no proxy is ever told of half a world.

    Proxies are served if there are `identity` (which has its certificate already) and `trust`, and let in if
    they are of one of the trust domains that `domains` gives; without, there is only the plain port. `status`
    is told how far the proxies are; `programmed` gets the digest of the trust bundle once everybody has it.
    Raises `CannotListen` if a port is taken, and what a source raises that cannot be read.
    """
    async with AsyncExitStack() as stack:
        tasks = [
            background(stack, world.registry.run(), "registry"),
            background(stack, world.config.run(), "config"),
        ]
        await unless_failed(world.synced(), tasks)
        sessions = Sessions(compiler, world.build(), metrics or Metrics())
        pushes = Pushes(sessions, world.build, gather=gather)
        world.changed = pushes.changed
        tasks.append(background(stack, pushes.run(), "pushes"))
        if status is not None:
            tasks.append(background(stack, Reports(world, pushes, status).run(), "reports"))
        announcing = Programmed(world, pushes, trust_key(system_namespace), programmed or nobody)
        tasks.append(background(stack, announcing.run(), "programmed"))
        agents = await stack.enter_async_context(Agents())
        window = Window(world, pushes, agents, announcing).app()
        http = await stack.enter_async_context(bound(window, listen.host, listen.http))
        pilot = Pilot(world, sessions, pushes, 0, http, tasks)
        pilot.xds = await _listening(stack, AdsServer(sessions), f"{LOOPBACK}:{listen.xds}")
        if identity is not None and trust is not None:
            secure = AdsServer(sessions, Door(trust, world.registry.workloads, domains=domains))
            credentials = grpc_credentials(identity, trust.roots, mutual=True)
            pilot.secure = await _listening(stack, secure, f"{listen.host}:{listen.secure}", credentials)
            tasks.append(background(stack, secure.watch_expiry(), "expiry"))
        log.info("serving", xds=pilot.xds, secure=pilot.secure, http=http, snapshot=sessions.snapshot.version)
        yield pilot


async def _listening(stack: AsyncExitStack, server: AdsServer, address: str, credentials: Any = None) -> int:
    """Serve proxies at an address; gives back the port."""
    port = server.listen(address, credentials)
    await server.start()
    stack.push_async_callback(server.stop)
    return port
