"""A whole Pilot in this process, its HTTP interface included, on sources held in memory; and real agents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from mesh.agent.admin import Admin
from mesh.agent.http import serve
from mesh.agent.status import Status
from mesh.model import Workload
from mesh.pilot.ads.session import Session
from mesh.pilot.pilot import Listen, Pilot, serving
from mesh.pilot.types import Resource
from mesh.pilot.world import World as Knowledge
from tests.pilot.ads.envoy import Envoy, bootstrap, envoy
from tests.pilot.ads.sources import KIND, Config, Registry, make_from
from tests.pilot.ads.world import StaticCompiler


@dataclass
class Whole:
    """Pilot, what it reads, and a client of its HTTP interface."""

    pilot: Pilot
    config: Config
    http: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.http.post(path, json=body) as answer:
            return answer.status, await answer.json()

    async def in_force(
        self, *names: str, versions: tuple[str, ...] = (), seconds: float = 20, deleted: bool = False
    ) -> Any:
        """Ask whether objects are in force."""
        objects = [
            {
                "kind": KIND,
                "namespace": "weather",
                "name": name,
                "resourceVersion": version,
                "deleted": deleted,
            }
            for name, version in zip(names, versions or [""] * len(names), strict=True)
        ]
        status, verdict = await self.post("/debug/in-force", {"objects": objects, "timeoutSeconds": seconds})
        assert status == 200, verdict
        return verdict

    async def apply(self, name: str, *resources: Resource, seconds: float = 20) -> Any:
        """Set an object and ask whether it is in force."""
        return await self.in_force(name, versions=(self.config.put(name, *resources),), seconds=seconds)

    def session(self, name: str = "frontend") -> Session:
        return next(session for session in self.pilot.sessions if session.proxy.name == name)


@asynccontextmanager
async def whole(*resources: Resource, workloads: tuple[Workload, ...] = ()) -> AsyncIterator[Whole]:
    """A Pilot that knows one object, `base`, which brings these resources."""
    config = Config()
    config.put("base", *resources)
    knowledge = Knowledge(Registry(*workloads), config, make_from(config), config_kinds={KIND})
    async with (
        serving(knowledge, StaticCompiler(), Listen("127.0.0.1", 0, 0)) as pilot,
        aiohttp.ClientSession(f"http://127.0.0.1:{pilot.http}") as http,
    ):
        yield Whole(pilot, config, http)


@asynccontextmanager
async def proxy(xds: int, name: str = "frontend", *, sotw: bool = False) -> AsyncIterator[Envoy]:
    """A real Envoy with a real agent's port beside it; waits for nothing."""
    running: Envoy | None = None

    async def answer(request: Any) -> Any:
        assert running is not None
        port = int(running.admin.rpartition(":")[2])
        return await Status(Admin(port), lambda: None).answer(request)

    agent = await serve("127.0.0.1", 0, answer)
    port = agent.sockets[0].getsockname()[1]
    try:
        async with envoy(bootstrap(xds, name=name, sotw=sotw, metadata={"STATUS_PORT": port})) as running:
            yield running
    finally:
        agent.close()
