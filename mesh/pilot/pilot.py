"""A running Pilot, put together from its parts: sources, snapshots, proxies, and the window on all of it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from mesh.pilot.ads.pushes import GATHER, Pushes
from mesh.pilot.ads.server import AdsServer
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.ads.view import Compiler
from mesh.pilot.debug.agents import Agents
from mesh.pilot.debug.app import Window
from mesh.pilot.metrics import Metrics
from mesh.pilot.world import World

log = structlog.get_logger(component="pilot")


class CannotListen(Exception):
    """An address to serve on cannot be had."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to serve; port 0 takes any that is free."""

    host: str = "0.0.0.0"
    xds: int = 15010
    http: int = 15014


@dataclass(slots=True)
class Pilot:
    """A running Pilot; `xds` and `http` are the ports that it has."""

    world: World
    sessions: Sessions
    pushes: Pushes
    xds: int
    http: int
    tasks: list[asyncio.Task[None]]

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in self.tasks:
            if task.done():
                task.result()


@asynccontextmanager
async def serving(
    world: World, compiler: Compiler, listen: Listen, *, gather: float = GATHER
) -> AsyncIterator[Pilot]:
    """Run Pilot: first learn the world, then serve, so that no proxy is ever told of half a world.

    Raises `CannotListen` if a port is taken, and what a source raises that cannot be read.
    """
    async with AsyncExitStack() as stack:
        tasks = [_task(stack, world.registry.run(), "registry"), _task(stack, world.config.run(), "config")]
        await _synced(world, tasks)
        sessions = Sessions(compiler, world.build(), Metrics())
        pushes = Pushes(sessions, world.build, gather=gather)
        world.changed = pushes.changed
        tasks.append(_task(stack, pushes.run(), "pushes"))
        agents = await stack.enter_async_context(Agents())
        http = await _http(stack, Window(world, pushes, agents).app(), listen)
        ads = AdsServer(sessions)
        xds = ads.listen(f"{listen.host}:{listen.xds}")
        await ads.start()
        stack.push_async_callback(ads.stop)
        log.info("serving", xds=xds, http=http, snapshot=sessions.snapshot.version)
        yield Pilot(world, sessions, pushes, xds, http, tasks)


def _task(stack: AsyncExitStack, work: Any, name: str) -> asyncio.Task[None]:
    task: asyncio.Task[None] = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task


async def _synced(world: World, tasks: list[asyncio.Task[None]]) -> None:
    """Wait until the sources know what there is; raise what made one of them fail."""
    synced = asyncio.create_task(world.synced())
    try:
        await asyncio.wait({synced, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        await synced
    finally:
        synced.cancel()


async def _http(stack: AsyncExitStack, app: web.Application, listen: Listen) -> int:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, listen.host, listen.http).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(f"cannot serve HTTP on {listen.host}:{listen.http}: {reason}") from None
    return int(runner.addresses[0][1])
