"""A Pilot on loopback that serves a prepared world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mesh.model import ObjectKey
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.server import AdsServer
from mesh.pilot.ads.session import Session
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.metrics import Metrics
from mesh.pilot.types import CDS, EDS, LDS, RDS, Resource
from tests.pilot.ads.world import StaticCompiler, World

TYPES = {CDS, EDS, LDS, RDS}


@dataclass
class Pilot:
    sessions: Sessions
    pushes: Pushes
    port: int
    world: World
    server: AdsServer

    def change(
        self,
        *resources: Resource,
        without: tuple[tuple[str, str], ...] = (),
        causes: tuple[ObjectKey, ...] = (),
    ) -> None:
        """Make the next snapshot and announce it."""
        self.world = self.world.with_resources(*resources, without=without)
        self.pushes.changed(causes)

    async def session(self, name: str = "frontend") -> Session:
        """The session of a proxy, once it is connected."""
        await self.until(lambda: any(session.proxy.name == name for session in self.sessions))
        return next(session for session in self.sessions if session.proxy.name == name)

    async def settled(self, name: str = "frontend") -> Session:
        """The session of a proxy that has asked for everything and accepted it."""
        session = await self.session(name)
        await self.until(
            lambda: (
                session.machine.watches.keys() >= TYPES
                and not session.machine.unsettled()
                and not session.machine.owed
                and self.pushes.done == self.pushes.asked
            )
        )
        return session

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        assert await self.sessions.notice.wait_for(condition, deadline=deadline), [*self.sessions]


@asynccontextmanager
async def pilot(world: World, *, port: int = 0, hold_limit: float = 5.0) -> AsyncIterator[Pilot]:
    sessions = Sessions(StaticCompiler(), world, Metrics(), hold_limit=hold_limit)
    server = AdsServer(sessions)
    running: Pilot
    pushes = Pushes(sessions, lambda: running.world)
    running = Pilot(sessions, pushes, server.listen(f"127.0.0.1:{port}"), world, server)
    await server.start()
    task = asyncio.create_task(pushes.run())
    try:
        yield running
    finally:
        task.cancel()
        await server.stop()
