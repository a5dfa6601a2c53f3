"""A running Galley, put together from its parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from mesh.api.kinds import WATCHED
from mesh.galley.admission import Source
from mesh.galley.board import Board, Sink
from mesh.galley.feed import Feed
from mesh.galley.metrics import Metrics
from mesh.galley.platform import KubernetesWriter
from mesh.galley.server import ConfigServer, callers, config_server
from mesh.galley.settings import COMPACT, GalleySettings
from mesh.galley.source.joined import Joined
from mesh.galley.source.kubernetes import KubernetesSource
from mesh.galley.status import StatusWriter
from mesh.galley.webhook import Webhook, listening
from mesh.model.sources import ConfigSource, StatusSink
from mesh.monitoring import monitored
from mesh.pki.holder import Holder
from mesh.pki.trust import Trust
from mesh.ports import CannotListen, bound
from mesh.tasks import background, first_failure, unless_failed

log = structlog.get_logger(component="galley")

__all__ = ["COMPACT", "Galley", "GalleySettings", "serving"]


@dataclass(slots=True)
class Galley:
    """A running Galley. Ports are those that it has; None where it does not serve.

    `source` is the configuration, `status` takes the reports of a Pilot in this process, `webhook` has the
    routes for a listener that is shared.
    """

    settings: GalleySettings
    source: ConfigSource
    status: StatusSink
    webhook: Webhook
    metrics: Metrics
    webhook_port: int | None
    config_port: int | None
    http: int | None
    writer: StatusWriter | None
    tasks: list[asyncio.Task[None]]

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        await first_failure(self.tasks)


@asynccontextmanager
async def serving(
    settings: GalleySettings, client: Any, identity: Holder, *, trust: Trust | None = None
) -> AsyncIterator[Galley]:
    """Run Galley with a `kubernetes.aio` ApiClient. `identity` has its first certificate and is kept fresh.

    `trust` is needed for the configuration server. The webhook answers at once, the rest when all
    configuration has been read. Raises `CannotListen` if a port is taken.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        webhook = Webhook(metrics)
        webhook_port = await _webhook(stack, settings, webhook, identity)
        reading, feed = KubernetesSource(client), Feed(WATCHED)
        webhook.present = Source(reading)
        if settings.config_port is not None:
            reading.store.listen(feed.take)
        board, tasks = Board(), [background(stack, reading.run(), "configuration")]
        writer = _status(settings, client, reading, board, metrics) if settings.write_status else None
        if writer is not None:
            tasks.append(background(stack, writer.run(), "status"))
        await unless_failed(reading.synced.wait(), tasks)
        config_port = await _config(stack, settings, ConfigParts(feed, board, metrics), identity, trust)
        http = None
        if settings.http_port is not None:
            http = await stack.enter_async_context(
                bound(monitored(metrics.registry), settings.host, settings.http_port)
            )
        log.info("serving", webhook=webhook_port, config=config_port, objects=len(reading.objects()))
        yield Galley(
            settings, Joined(reading, tasks[0]), Sink(board, "this process"), webhook, metrics,
            webhook_port, config_port, http, writer, tasks,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConfigParts:
    """What the configuration server works on."""

    feed: Feed
    board: Board
    metrics: Metrics


async def _webhook(
    stack: AsyncExitStack, settings: GalleySettings, webhook: Webhook, identity: Holder
) -> int | None:
    if settings.webhook_port is None:
        return None
    return await stack.enter_async_context(
        listening(webhook, identity, host=settings.host, port=settings.webhook_port)
    )


async def _config(
    stack: AsyncExitStack, settings: GalleySettings, parts: ConfigParts, identity: Holder, trust: Trust | None
) -> int | None:
    if settings.config_port is None:
        return None
    if trust is None:
        raise CannotListen("the configuration server needs to know whom the mesh trusts")
    entitled = callers(trust, settings.trust_domain, settings.namespace)
    server = ConfigServer(parts.feed, parts.board, entitled, parts.metrics)
    return await stack.enter_async_context(
        config_server(server, identity, trust, host=settings.host, port=settings.config_port)
    )


def _status(
    settings: GalleySettings, client: Any, reading: KubernetesSource, board: Board, metrics: Metrics
) -> StatusWriter:
    writer = StatusWriter(
        reading.store, board, KubernetesWriter(client), WATCHED, metrics,
        period=settings.status_period, rate=settings.status_rate,
    )  # fmt: skip
    board.subscribe(lambda key: writer.touch((key,)))
    reading.subscribe(writer.touch)
    return writer
