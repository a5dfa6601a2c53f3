"""Handlers that run: started before they are used, kept while nothing about them changes, closed when done.

A handler that cannot start leaves the one before in use; where there is none, whoever needs it gets
`NotRunning`, and the start is tried again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from mesh.mixer.metrics import HandlerMetrics
from mesh.rules.adapter import Adapter, Environment
from mesh.rules.resolve import HandlerConfig

START = 5.0
"""Seconds that a handler may take to start."""

CLOSE = 10.0
"""Seconds that a handler may take to close, so that one that hangs holds up nothing."""

log = structlog.get_logger(component="mixer")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all handlers of a process share."""

    metrics: HandlerMetrics
    folder: Path = Path("/tmp")
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    @property
    def registry(self) -> CollectorRegistry:
        """The process's own metrics."""
        return self.metrics.registry


@dataclass(eq=False, slots=True)
class Running:
    """A handler in use: its adapter, its tasks, and by how many configurations it is held."""

    config: HandlerConfig
    adapter: Adapter[Any]
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    held: int = 0

    def __repr__(self) -> str:
        return f"<Running {self.config.name}, held {self.held} times, {len(self.tasks)} tasks>"

    async def close(self) -> None:
        """Let it hand on what it has, and end its tasks."""
        try:
            async with asyncio.timeout(CLOSE):
                await self.adapter.close()
        except Exception as error:
            log.warning("a handler did not close well", handler=self.config.name, error=told(error))
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Handlers:
    """All handlers of a process by name, and why others do not run."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.running: Mapping[str, Running] = {}
        self.broken: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Handlers: {len(self.running)} running, {len(self.broken)} broken>"

    async def change(self, wanted: Mapping[str, HandlerConfig]) -> Mapping[str, Running]:
        """The handlers to use from now on: those that did not change, new ones, last good ones for broken."""
        self.broken = {name: why for name, why in self.broken.items() if name in wanted}
        changed = [each for each in wanted.values() if not self._same(each)]
        started = await asyncio.gather(*(self._started(each) for each in changed))
        found = {name: self.running[name] for name in wanted if name in self.running}
        found |= {each.config.name: each for each in started if each is not None}
        self.running = found
        self.surroundings.metrics.running.set(len(found))
        self.surroundings.metrics.broken.set(len(self.broken))
        return found

    def _same(self, config: HandlerConfig) -> bool:
        now = self.running.get(config.name)
        same = now is not None and same_handler(now.config, config)
        if same:
            self.broken.pop(config.name, None)
        return same

    async def _started(self, config: HandlerConfig) -> Running | None:
        running: Running | None = None
        try:
            running = self._made(config)
            async with asyncio.timeout(START):
                await running.adapter.start()
        except Exception as error:
            await self._failed(config, running, error)
            return None
        self.broken.pop(config.name, None)
        log.info("handler started", handler=config.name, adapter=config.adapter.name)
        return running

    async def _failed(self, config: HandlerConfig, running: Running | None, error: Exception) -> None:
        last = "the last good one is used" if config.name in self.running else "nothing takes its place"
        self.broken[config.name] = f"{told(error)}; {last}"
        self.surroundings.metrics.failures.labels(config.name).inc()
        log.warning("handler cannot start", handler=config.name, error=told(error), meanwhile=last)
        if running is not None:
            await running.close()

    def _made(self, config: HandlerConfig) -> Running:
        tasks: set[asyncio.Task[None]] = set()

        def background(work: Coroutine[Any, Any, None], name: str) -> None:
            task = asyncio.create_task(work, name=f"{config.name}: {name}")
            tasks.add(task)
            task.add_done_callback(lambda done: _ended(tasks, done))

        around = self.surroundings
        environment = Environment(
            config.name, around.clock, around.monotonic, background, around.registry, around.folder,
            config.types,
        )  # fmt: skip
        return Running(config, config.adapter(config.params, environment), tasks)

    async def close(self, which: Iterable[Running]) -> None:
        """Close handlers that nobody holds any more."""
        await asyncio.gather(*(each.close() for each in which))


def same_handler(one: HandlerConfig, other: HandlerConfig) -> bool:
    """Whether a handler can go on as it is."""
    return one.adapter is other.adapter and one.params == other.params and one.types == other.types


def told(error: BaseException) -> str:
    """An error as text; one without words by its name."""
    if isinstance(error, TimeoutError) and not str(error):
        return "it took too long"
    return str(error) or type(error).__name__


def _ended(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a handler's task failed", task=task.get_name(), error=told(error), exc_info=error)
