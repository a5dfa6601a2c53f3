"""A running istio-policy, put together from its parts."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from mesh.mixer.attributes.check import CheckAttributes
from mesh.mixer.attributes.workload import Workloads
from mesh.mixer.core import RETRY, Following
from mesh.mixer.handlers import Surroundings
from mesh.mixer.metrics import HandlerMetrics
from mesh.mixer.policy.checker import CACHED, Checker
from mesh.mixer.policy.gate import Limits
from mesh.mixer.policy.metrics import PolicyMetrics
from mesh.mixer.policy.server import DEADLINE, PolicyServer
from mesh.mixer.window import app, shown
from mesh.mixer.world import World
from mesh.ports import bound
from mesh.rules import registry as installed
from mesh.rules.adapter import Adapter
from mesh.rules.templates import Variety
from mesh.tasks import Task, background, first_failure, unless_failed

VARIETIES = (Variety.CHECK, Variety.QUOTA)

log = structlog.get_logger(component="policy")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to serve; port 0 takes any that is free.

    `namespace` is the mesh's own, whose rules are for all; `folder` is for files of handlers; `deadline` is
    in seconds, for all handlers of a check; `cached` is how many answers are kept;
    `retry` are the pauses, first and longest, until handlers that could not start are tried again.
    """

    host: str = "0.0.0.0"
    grpc: int = 15004
    http: int = 15014
    trust_domain: str = "cluster.local"
    namespace: str = "istio-system"
    folder: Path = Path("/tmp")
    deadline: float = DEADLINE
    cached: int = CACHED
    retry: tuple[float, float] = RETRY
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class Policy:
    """A running istio-policy; `grpc` and `http` are the ports that it has."""

    following: Following
    server: PolicyServer
    grpc: int
    http: int
    tasks: list[Task]

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        await first_failure(self.tasks)


@asynccontextmanager
async def serving(
    world: World, settings: Settings, *, adapters: Mapping[str, type[Adapter[Any]]] | None = None
) -> AsyncIterator[Policy]:
    """Run istio-policy on a world; it serves once the rules are in force. Raises `CannotListen`.

    `adapters` replace those that are installed.
    """
    registry = CollectorRegistry()
    following = Following(
        world.config,
        installed.adapters() if adapters is None else adapters,
        Surroundings(HandlerMetrics(registry), settings.folder),
        VARIETIES,
        root_namespace=settings.namespace,
        retry=settings.retry,
    )
    server = _server(world, settings, following, PolicyMetrics(registry))
    async with AsyncExitStack() as stack:
        tasks = [*world.tasks, background(stack, following.run(), "configuration")]
        await unless_failed(following.until(lambda _: following.generation > 0), tasks)
        port = world.listen(server, settings.host, settings.grpc)
        await server.start()
        stack.push_async_callback(server.stop)
        window = app(registry, lambda: True, lambda: shown(following))
        http = await stack.enter_async_context(bound(window, settings.host, settings.http))
        log.info("serving", grpc=port, http=http)
        yield Policy(following, server, port, http, tasks)


def _server(world: World, settings: Settings, following: Following, metrics: PolicyMetrics) -> PolicyServer:
    return PolicyServer(
        Checker(following, metrics, time.monotonic, cached=settings.cached),
        CheckAttributes(Workloads(world.registry), time.time),
        metrics,
        peers=world.peers(settings.trust_domain),
        limits=settings.limits,
        deadline=settings.deadline,
    )
