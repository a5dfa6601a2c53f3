"""The configuration in force, followed live: `Following` keeps the present `Live`.

New handlers are started first, then calls go to the new configuration, and the old handlers are closed when
the last call on them is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog

from mesh.api.kinds import KINDS, MIXER
from mesh.mixer.handlers import Handlers, Running, Surroundings
from mesh.mixer.live import Live, Reshape
from mesh.model.config import ConfigObject, ObjectKey
from mesh.model.sources import ConfigSource
from mesh.rules.adapter import Adapter
from mesh.rules.resolve import HandlerConfig, Ruleset, resolve
from mesh.rules.templates import Variety

MIXER_KINDS = frozenset(kind.kind for kind in KINDS if kind.group == MIXER)

GATHER = 0.05
"""Seconds in which further changes are waited for: files bring several objects."""

RETRY = (1.0, 30.0)
"""Seconds, first and longest, until handlers that could not start are tried again."""

Reshaping = tuple[str, Callable[[Iterable[ConfigObject], str], Reshape | None]]
"""A further kind of objects, and what makes of them (and of the root namespace) what changes instances."""

log = structlog.get_logger(component="mixer")


class Following:
    """Follows the rules of a `ConfigSource` (which somebody else runs) for some varieties of templates."""

    def __init__(
        self,
        config: ConfigSource,
        adapters: Mapping[str, type[Adapter[Any]]],
        surroundings: Surroundings,
        varieties: Iterable[Variety],
        *,
        root_namespace: str = "istio-system",
        reshaping: Reshaping | None = None,
        gather: float = GATHER,
        retry: tuple[float, float] = RETRY,
    ) -> None:
        self._reshaping = reshaping
        self._kinds = MIXER_KINDS | ({reshaping[0]} if reshaping else set())
        self.handlers = Handlers(surroundings)
        self.changed: list[Callable[[Live], None]] = []
        self._config = config
        self._adapters = adapters
        self._surroundings = surroundings
        self._varieties = frozenset(varieties)
        self._root = root_namespace
        self._gather = gather
        self._wanted = asyncio.Event()
        self._taken = asyncio.Condition()
        self._closing: set[asyncio.Task[None]] = set()
        self._retry = retry
        self._pause = retry[0]
        self.generation = 0
        self.versions: Mapping[str, str] = {}
        self._in_force: Mapping[ObjectKey, ConfigObject] = {}
        self.live = self._made(resolve((), adapters), {})
        config.subscribe(self._notice)

    def __repr__(self) -> str:
        return f"<Following: change {self.generation}, {self.live!r}, {self.handlers!r}>"

    def _notice(self, keys: frozenset[ObjectKey]) -> None:
        # Kinds of other groups are many and change often; none of their names is one of ours.
        if any(key.kind in self._kinds for key in keys):
            self._wanted.set()

    async def run(self) -> None:
        """Take the configuration once it is there, then each change, until cancelled; then close handlers."""
        try:
            await self._config.synced.wait()
            self._wanted.set()
            while True:
                await self._until_wanted()
                self._wanted.clear()
                await self._taken_or_told()
        finally:
            await self._end()

    async def _until_wanted(self) -> None:
        """Wait for a change, or until broken handlers are to be tried again."""
        timeout = self._pause if self.handlers.broken else None
        try:
            async with asyncio.timeout(timeout):
                await self._wanted.wait()
            self._pause = self._retry[0]
            await asyncio.sleep(self._gather)
        except TimeoutError:
            self._pause = min(self._pause * 2, self._retry[1])

    async def _taken_or_told(self) -> None:
        """Take the configuration; a fault of ours leaves what is in force."""
        try:
            await self.take()
        except Exception:
            log.exception("the configuration cannot be taken; the last one stays")

    async def take(self) -> None:
        """Put the configuration as it is now in force."""
        objects, further = self._objects(), self._further()
        now = {each.key: each for each in (*objects, *further)}
        # Where only a status was written, answers that are kept stay good.
        if not self.generation or self.handlers.broken or not alike(self._in_force, now):
            await self._put_in_force(objects, further)
        self._in_force = now
        self.versions = {named(key): f"{each.uid}/{each.generation}" for key, each in now.items()}

    async def _put_in_force(self, objects: Iterable[ConfigObject], further: Iterable[ConfigObject]) -> None:
        ruleset = resolve(objects, self._adapters)
        running = await self.handlers.change(self._used(ruleset))
        before, self.live = self.live, self._made(ruleset, running, further)
        for each in running.values():
            each.held += 1
        self.generation += 1
        self._tell(self.problems)
        before.retire()
        for told in self.changed:
            told(self.live)
        async with self._taken:
            self._taken.notify_all()

    async def until(self, wanted: Callable[[Live], bool]) -> Live:
        """Wait until the configuration in force is as wanted."""
        async with self._taken:
            await self._taken.wait_for(lambda: wanted(self.live))
        return self.live

    def _objects(self) -> list[ConfigObject]:
        return [each for each in self._config.objects().values() if each.group == MIXER]

    def _further(self) -> list[ConfigObject]:
        kind = self._reshaping[0] if self._reshaping else ""
        return [each for each in self._config.objects().values() if each.key.kind == kind]

    def _used(self, ruleset: Ruleset) -> dict[str, HandlerConfig]:
        """The handlers that rules send something of our varieties to; others are another program's."""
        names = {
            action.handler
            for rule in ruleset.rules
            for action in rule.actions
            if any(ruleset.instances[each].template.variety in self._varieties for each in action.instances)
        }
        return {name: ruleset.handlers[name] for name in sorted(names) if name in ruleset.handlers}

    def _made(
        self, ruleset: Ruleset, running: Mapping[str, Running], further: Iterable[ConfigObject] = ()
    ) -> Live:
        return Live(
            ruleset,
            running,
            self._surroundings.metrics,
            root_namespace=self._root,
            reshape=self._reshaping[1](further, self._root) if self._reshaping else None,
            released=self._released,
        )

    @property
    def problems(self) -> list[str]:
        """What is left out of the configuration in force, and why."""
        further = self.live.reshape.problems if self.live.reshape else []
        return [*map(str, self.live.ruleset.problems), *further]

    def _tell(self, problems: list[str]) -> None:
        metrics = self._surroundings.metrics
        metrics.changes.inc()
        metrics.rules.set(len(self.live.ruleset.rules))
        metrics.problems.set(len(problems))
        for problem in problems:
            log.warning("left out of the configuration", problem=problem)

    def _released(self, live: Live) -> None:
        """The last call on a configuration is done: close the handlers that no other one holds."""
        gone = [each for each in live.running.values() if self._let_go(each)]
        if gone:
            self._in_background(self.handlers.close(gone))

    def _let_go(self, running: Running) -> bool:
        running.held -= 1
        return running.held == 0

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _end(self) -> None:
        self.live.retire()
        await asyncio.gather(*self._closing, return_exceptions=True)


def alike(before: Mapping[ObjectKey, ConfigObject], now: Mapping[ObjectKey, ConfigObject]) -> bool:
    """Whether two configurations say the same."""
    return before.keys() == now.keys() and all(
        each is now[key] or each.spec == now[key].spec for key, each in before.items()
    )


def named(key: ObjectKey) -> str:
    """An object as the debug interface names it."""
    return f"{key.kind}/{key.namespace}/{key.name}"
