"""Where Pilot's knowledge comes from: configuration and services, each behind one interface.

Both are fed by a task (`run`) and read without waiting; what they hand out is immutable, and what did not
change stays the same value, so that comparison by identity finds the differences.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mesh.model.config import ConfigObject, ObjectKey
from mesh.model.service import Instance, Service, Workload


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the last time: service host names, (host name, service port) pairs, addresses."""

    services: frozenset[str] = field(default_factory=frozenset)
    instances: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    workloads: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def together(cls, changes: "Iterable[Changes]") -> "Changes":
        """All of them as one."""
        every = tuple(changes)
        return cls(
            frozenset().union(*(each.services for each in every)),
            frozenset().union(*(each.instances for each in every)),
            frozenset().union(*(each.workloads for each in every)),
        )

    def __or__(self, other: "Changes") -> "Changes":
        return Changes(
            self.services | other.services, self.instances | other.instances, self.workloads | other.workloads
        )

    def __bool__(self) -> bool:
        return bool(self.services or self.instances or self.workloads)


class ConfigSource(Protocol):
    """Configuration objects: valid ones to use, and why others were refused."""

    @property
    def synced(self) -> asyncio.Event:
        """Set once everything that existed at the start has been read."""

    async def run(self) -> None:
        """Keep the objects up to date until cancelled; a lost connection is made again."""

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force: the last good version of each."""

    def seen(self, key: ObjectKey) -> str | None:
        """The resourceVersion last seen of an object, valid or not; None if it does not exist."""

    def rejected(self, key: ObjectKey) -> Exception | None:
        """Why the version last seen is not in use; None if it is."""

    def subscribe(self, changed: Callable[[frozenset[ObjectKey]], None]) -> None:
        """Call `changed` in the event loop after each change, with the keys that differ."""


class Registry(Protocol):
    """Services, their instances and the workloads behind them, of one platform or of several."""

    @property
    def synced(self) -> asyncio.Event:
        """Set once everything that existed at the start has been read."""

    async def run(self) -> None:
        """Keep the values up to date until cancelled; a lost connection is made again."""

    def services(self) -> Mapping[str, Service]:
        """All services by host name."""

    def instances(self) -> Mapping[tuple[str, int], tuple[Instance, ...]]:
        """The instances of each service port, by host name and service port."""

    def workloads(self) -> Mapping[str, Workload]:
        """All workloads by each of their addresses."""

    def seen(self, key: ObjectKey) -> str | None:
        """The resourceVersion last seen of an object that the registry reads; None if it does not exist."""

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` in the event loop after each change."""


class StatusSink(Protocol):
    """Where Pilot says how far the proxies are with each object of the configuration."""

    def report(
        self, key: ObjectKey, resource_version: str, *, proxies: int, acked: int, errors: tuple[str, ...]
    ) -> None:
        """At that version an object concerns so many proxies, of which so many use it; why others refuse it.

        Returns at once; a later report replaces an earlier one.
        """
