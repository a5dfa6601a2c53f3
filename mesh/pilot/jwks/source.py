"""The public keys of issuers of tokens, fetched by Pilot so that no proxy has to reach them.

A `ConfigSource` of its own: what RequestAuthentications ask for is fetched, refreshed, and handed on as
objects of kind `Jwks`. A set of keys that was good once stays until a better one comes. Source: Istio's
reference of JWTRule (`jwksUri`; OpenID Connect Discovery where neither keys nor URI are given).
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from mesh.model import ConfigObject, ObjectKey
from mesh.model.jwks import KIND, Jwks, key_of, place_of
from mesh.pilot.jwks.fetch import Unusable, fetch, session

KINDS = frozenset({KIND})
"""Kinds of object that this source brings."""

TIMEOUT = 5.0  # seconds, where a rule says nothing
PATIENCE = 5.0  # seconds that others wait for the first keys, at most
RULES_KIND = "RequestAuthentication"

log = structlog.get_logger(component="jwks")


class Rules(Protocol):
    """As much of a source of configuration as is read."""

    @property
    def synced(self) -> asyncio.Event:
        """Set once everything that existed at the start has been read."""

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force."""

    def subscribe(self, changed: Callable[[frozenset[ObjectKey]], None]) -> None:
        """Call `changed` after each change."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often keys are fetched, in seconds: `refresh` after success, from `retry` up to `longest` after
    failures, each longer by a random part of itself, so that many places are not asked at once.
    """

    refresh: float = 20 * 60.0
    retry: float = 1.0
    longest: float = 60.0

    def delay(self, failures: int, chance: float) -> float:
        """How long to wait; `chance` is between 0 and 1."""
        if not failures:
            return self.refresh * (1 + chance / 10)
        return min(self.retry * 2.0 ** min(failures - 1, 30), self.longest) * (1 + chance / 2)


class Metrics:
    """Counters of one source, the first two with Istio's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "pilot_jwks_resolver_network_fetch"
        self.fetched = Counter(f"{name}_success", "Sets of keys fetched", registry=registry)
        self.failed = Counter(f"{name}_fail", "Sets of keys that could not be fetched", registry=registry)
        self.known = Gauge("pilot_jwks_known", "Sets of keys at hand", registry=registry)
        self.missing = Gauge("pilot_jwks_missing", "Sets of keys asked for, never fetched", registry=registry)


@dataclass(slots=True)
class Fetched:
    """What is known of one place: the latest good set, and why the last attempt failed."""

    timeout: float
    task: "asyncio.Task[None] | None" = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    problem: str = ""


class JwksSource:
    """A `ConfigSource` of the keys that the rules of `config` ask for.

    `synced` is set when each place known at the start has been tried once, or is slow. For one event loop.
    """

    def __init__(
        self,
        config: Rules,
        *,
        metrics: Metrics | None = None,
        pace: Pace = Pace(),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.synced = asyncio.Event()
        self._config = config
        self._metrics = metrics or Metrics(CollectorRegistry())
        self._pace, self._chance = pace, chance
        self._places: dict[str, Fetched] = {}
        self._objects: dict[ObjectKey, ConfigObject] = {}
        self._versions = 0
        self._subscribers: list[Callable[[frozenset[ObjectKey]], None]] = []
        self._changed = asyncio.Event()
        config.subscribe(self._config_changed)

    def __repr__(self) -> str:
        return f"<JwksSource of {len(self._places)} places, {len(self._objects)} known>"

    # What others read

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All sets of keys at hand."""
        return MappingProxyType(dict(self._objects))

    def seen(self, key: ObjectKey) -> str | None:
        """The version of a set; None if it is not at hand."""
        found = self._objects.get(key)
        return found.resource_version if found else None

    def rejected(self, key: ObjectKey) -> Exception | None:
        """Why the last attempt to fetch a set failed; None if it did not."""
        place = self._places.get(key.name)
        return Unusable(place.problem) if place and place.problem else None

    def ready(self, key: ObjectKey) -> bool:
        """Whether the keys that an object asks for, if any, were tried at least once."""
        policy = self._config.objects().get(key) if key.kind == RULES_KIND else None
        asked = (self._places.get(uri) for uri, _ in places(policy)) if policy is not None else ()
        return all(place is not None and place.tried.is_set() for place in asked)

    def problems(self) -> Mapping[str, str]:
        """Why the last attempt failed, by place."""
        return {uri: each.problem for uri, each in self._places.items() if each.problem}

    def subscribe(self, changed: Callable[[frozenset[ObjectKey]], None]) -> None:
        """Call `changed` after each change."""
        self._subscribers.append(changed)

    # Following the rules

    async def run(self) -> None:
        """Fetch and refresh what the rules ask for, until cancelled."""
        await self._config.synced.wait()
        async with session() as client, asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                self._follow(client, group)
                if not self.synced.is_set():
                    await self._first()
                await self._changed.wait()

    async def _first(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(each.tried.wait() for each in self._places.values()))
        self.synced.set()

    def _follow(self, client: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        asked = wanted(self._config.objects().values())
        for uri in [uri for uri in self._places if uri not in asked]:
            self._forget(uri)
        for uri, timeout in asked.items():
            place = self._places.setdefault(uri, Fetched(timeout))
            place.timeout = timeout
            if place.task is None:
                place.task = group.create_task(self._keep(client, uri, place))
        self._count()

    def _forget(self, uri: str) -> None:
        place = self._places.pop(uri)
        if place.task is not None:
            place.task.cancel()
        if self._objects.pop(key_of(uri), None) is not None:
            self._tell(key_of(uri))

    async def _keep(self, client: aiohttp.ClientSession, uri: str, place: Fetched) -> None:
        while True:
            await self._attempt(client, uri, place)
            place.tried.set()
            await asyncio.sleep(self._pace.delay(place.failures, self._chance()))

    async def _attempt(self, client: aiohttp.ClientSession, uri: str, place: Fetched) -> None:
        try:
            document = await fetch(client, uri, place.timeout)
        except Unusable as error:
            self._metrics.failed.inc()
            place.failures += 1
            if place.problem != str(error):
                log.warning("cannot fetch the keys of an issuer", uri=uri, reason=str(error))
            place.problem = str(error)
        else:
            self._metrics.fetched.inc()
            place.failures, place.problem = 0, ""
            self._put(uri, document)
        self._count()

    def _put(self, uri: str, document: str) -> None:
        key, before = key_of(uri), self._objects.get(key_of(uri))
        if before is None or before.spec.document != document:
            self._versions += 1
            self._objects[key] = ConfigObject(
                key, group="", version="", spec=Jwks(document), resource_version=str(self._versions)
            )
            self._tell(key)

    def _tell(self, key: ObjectKey) -> None:
        for subscriber in self._subscribers:
            subscriber(frozenset({key}))

    def _count(self) -> None:
        self._metrics.known.set(len(self._objects))
        self._metrics.missing.set(sum(key_of(uri) not in self._objects for uri in self._places))

    def _config_changed(self, keys: frozenset[ObjectKey]) -> None:
        if any(key.kind == RULES_KIND for key in keys):
            self._changed.set()


# Which places


def wanted(objects: Iterable[ConfigObject]) -> Mapping[str, float]:
    """The places where rules find their keys, each with the longest time that a rule gives it (seconds)."""
    found: dict[str, float] = {}
    for uri, timeout in (each for one in objects if one.key.kind == RULES_KIND for each in places(one)):
        found[uri] = max(found.get(uri, 0.0), timeout)
    return found


def places(policy: ConfigObject) -> Iterator[tuple[str, float]]:
    """The places of one policy."""
    for rule in policy.spec.jwt_rules:
        if not rule.jwks:
            yield place_of(rule.jwks_uri, rule.issuer), rule.timeout or TIMEOUT
