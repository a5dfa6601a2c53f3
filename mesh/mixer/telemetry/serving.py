"""A running istio-telemetry, put together from its parts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from mesh.mixer.attributes.workload import Workloads
from mesh.mixer.core import Following
from mesh.mixer.exposed import CONTENT_TYPE, billed, scraped
from mesh.mixer.handlers import Surroundings
from mesh.mixer.metrics import HandlerMetrics
from mesh.mixer.telemetry.metrics import TelemetryMetrics
from mesh.mixer.telemetry.overrides import overrides
from mesh.mixer.telemetry.receiver import ReportServer
from mesh.mixer.tracing.serve import spans_served
from mesh.mixer.window import app, shown
from mesh.mixer.world import World
from mesh.monitoring import for_loopback
from mesh.pki.serving import server_context
from mesh.ports import bound
from mesh.rules import registry as installed
from mesh.rules import tags
from mesh.rules.adapter import Adapter
from mesh.rules.templates import Variety
from mesh.tasks import Task, background, first_failure, unless_failed

VARIETIES = (Variety.REPORT,)

log = structlog.get_logger(component="telemetry")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to serve; port 0 takes any that is free. `counted` is where Prometheus scrapes."""

    host: str = "0.0.0.0"
    grpc: int = 15004
    http: int = 15014
    counted: int = 42422
    spans: int = 9411
    trust_domain: str = "cluster.local"
    namespace: str = "istio-system"
    folder: Path = Path("/tmp")


@dataclass(slots=True)
class Telemetry:
    """A running istio-telemetry; the ports are those that it has."""

    following: Following
    server: ReportServer
    registry: CollectorRegistry
    grpc: int
    http: int
    counted: int
    spans: int
    tasks: list[Task]

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        await first_failure(self.tasks)


@asynccontextmanager
async def serving(
    world: World, settings: Settings, *, adapters: Mapping[str, type[Adapter[Any]]] | None = None
) -> AsyncIterator[Telemetry]:
    """Run istio-telemetry on a world; it serves once the rules are in force. Raises `CannotListen`.

    `adapters` replace those that are installed.
    """
    registry = CollectorRegistry()
    following = Following(
        world.config,
        installed.adapters() if adapters is None else adapters,
        Surroundings(HandlerMetrics(registry), settings.folder),
        VARIETIES,
        root_namespace=settings.namespace,
        reshaping=(tags.KIND, overrides),
    )
    workloads = Workloads(world.registry)
    server = ReportServer(
        lambda: following.live,
        workloads,
        TelemetryMetrics(registry),
        peers=world.peers(settings.trust_domain),
    )
    async with AsyncExitStack() as stack:
        tasks = [*world.tasks, background(stack, following.run(), "configuration")]
        await unless_failed(following.until(lambda _: following.generation > 0), tasks)
        port = world.listen(server, settings.host, settings.grpc)
        await server.start()
        stack.push_async_callback(server.stop)
        spans = await stack.enter_async_context(
            spans_served(
                lambda: following.live, workloads, registry,
                host=settings.host, port=settings.spans, context=_context(world),
            )
        )  # fmt: skip
        window = app(registry, lambda: True, lambda: shown(following), [_usage(following)])
        http = await stack.enter_async_context(bound(window, settings.host, settings.http))
        counted = await stack.enter_async_context(bound(_counted(following), settings.host, settings.counted))
        log.info("serving", grpc=port, http=http, counted=counted, spans=spans.port)
        yield Telemetry(following, server, registry, port, http, counted, spans.port, tasks)


def _context(world: World) -> Any:
    if world.identity is None or world.trust is None:
        return None
    return server_context(world.identity, client_roots=world.trust.roots)


def _adapters(following: Following) -> list[Adapter[Any]]:
    return [each.adapter for each in following.live.running.values()]


def _usage(following: Following) -> web.RouteDef:
    async def ledger(_: web.Request) -> web.Response:
        return web.Response(text=await billed(_adapters(following)), content_type="text/csv")

    return web.get("/usage.csv", for_loopback(ledger))  # who uses how much is nobody else's business


def _counted(following: Following) -> web.Application:
    """What rules count, for Prometheus."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=scraped(_adapters(following)), headers={"Content-Type": CONTENT_TYPE})

    made = web.Application()
    made.router.add_get("/metrics", metrics)
    return made
