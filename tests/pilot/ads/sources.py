"""Sources held in memory. An object of the kind `Prepared` brings its resources ready made: test data."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from mesh.model import ConfigObject, Instance, ObjectKey, Service, Workload
from mesh.model.sources import Changes
from mesh.pilot.types import Resource
from tests.pilot.ads.world import World

KIND = "Prepared"


def key(name: str) -> ObjectKey:
    return ObjectKey(KIND, "weather", name)


class Config:
    """A `ConfigSource` that is changed by calls."""

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self.synced.set()
        self._objects: dict[ObjectKey, ConfigObject] = {}
        self._seen: dict[ObjectKey, str] = {}
        self._rejected: dict[ObjectKey, Exception] = {}
        self._changed: list[Callable[[frozenset[ObjectKey]], None]] = []
        self._revision = 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        return self._objects

    def seen(self, key: ObjectKey) -> str | None:
        return self._seen.get(key)

    def rejected(self, key: ObjectKey) -> Exception | None:
        return self._rejected.get(key)

    def subscribe(self, changed: Callable[[frozenset[ObjectKey]], None]) -> None:
        self._changed.append(changed)

    def put(self, name: str, *resources: Resource) -> str:
        """Set an object; gives its new version."""
        self._rejected.pop(key(name), None)
        version = self._next(key(name))
        self._objects[key(name)] = ConfigObject(key(name), "test", "v1", resources, resource_version=version)
        self._tell(key(name))
        return version

    def touch(self, name: str) -> str:
        """Give an object a new version that means the same; gives the version."""
        version = self._next(key(name))
        self._tell(key(name))
        return version

    def put_invalid(self, name: str, error: Exception) -> str:
        version = self._next(key(name))
        self._rejected[key(name)] = error
        self._tell(key(name))
        return version

    def delete(self, name: str) -> None:
        for state in (self._objects, self._seen, self._rejected):
            state.pop(key(name), None)
        self._tell(key(name))

    def _next(self, key: ObjectKey) -> str:
        self._revision += 1
        self._seen[key] = str(self._revision)
        return self._seen[key]

    def _tell(self, key: ObjectKey) -> None:
        for changed in self._changed:
            changed(frozenset({key}))


class Registry:
    """A `Registry` of nothing but workloads."""

    def __init__(self, *workloads: Workload) -> None:
        self._workloads = {each.address: each for each in workloads}
        self.synced = asyncio.Event()
        self.synced.set()

    async def run(self) -> None:
        await asyncio.Event().wait()

    def services(self) -> Mapping[str, Service]:
        return {}

    def instances(self) -> Mapping[tuple[str, int], tuple[Instance, ...]]:
        return {}

    def workloads(self) -> Mapping[str, Workload]:
        return self._workloads

    def seen(self, key: ObjectKey) -> str | None:
        return None

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        pass


def make_from(config: Config) -> Callable[[Any, frozenset[ObjectKey], Changes], World]:
    """Snapshots of all objects' resources."""

    def make(previous: World | None, keys: frozenset[ObjectKey], changes: Changes) -> World:
        number = previous.version + 1 if previous else 1
        prepared = (held for held in config.objects().values() if held.key.kind == KIND)
        resources = [each for held in prepared for each in held.spec]
        return World(number - 1).with_resources(*resources)

    return make
