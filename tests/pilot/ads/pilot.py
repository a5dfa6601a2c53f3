"""A Pilot on loopback that serves a prepared world."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mesh.model import ObjectKey
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.server import AdsServer
from mesh.pilot.ads.session import Session
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.metrics import Metrics
from mesh.pilot.types import Resource
from tests.pilot.ads.world import StaticCompiler, World


@dataclass
class Pilot:
    sessions: Sessions
    pushes: Pushes
    port: int
    world: World

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
        found = lambda: next((s for s in self.sessions if s.proxy.name == name), None)  # noqa: E731
        await self.until(lambda: found() is not None)
        session = found()
        assert session is not None
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
    running = Pilot(sessions, pushes, server.listen(f"127.0.0.1:{port}"), world)
    await server.start()
    task = asyncio.create_task(pushes.run())
    try:
        yield running
    finally:
        task.cancel()
        await server.stop()


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Ask again until it holds: for what lies outside this process and cannot give notice."""
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.005)
