"""Several registries as one. Where two know the same host, the services' instances are put together.

What is handed out are views: looking up a key costs as much as there are registries, not services.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from mesh.model import Instance, ObjectKey, Service, Workload
from mesh.model.sources import Changes, Registry
from mesh.registry.table import InstanceKey

K = TypeVar("K")
V = TypeVar("V")


class First(Mapping[K, V], Generic[K, V]):
    """Several mappings as one; of equal keys the first mapping's value counts."""

    def __init__(self, parts: Sequence[Mapping[K, V]]) -> None:
        self._parts = parts

    def __getitem__(self, key: K) -> V:
        for part in self._parts:
            if key in part:
                return part[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        return iter(dict.fromkeys(key for part in self._parts for key in part))

    def __len__(self) -> int:
        return len({key for part in self._parts for key in part})


class Joined(Mapping[InstanceKey, tuple[Instance, ...]]):
    """Instances of several registries; those of equal keys are put together, each address and port once."""

    def __init__(self, parts: Sequence[Mapping[InstanceKey, tuple[Instance, ...]]]) -> None:
        self._parts = parts

    def __getitem__(self, key: InstanceKey) -> tuple[Instance, ...]:
        found = [part[key] for part in self._parts if key in part]
        if not found:
            raise KeyError(key)
        if len(found) == 1:
            return found[0]
        every: dict[tuple[str, int], Instance] = {}
        for each in (instance for some in found for instance in some):
            every.setdefault((each.address, each.port), each)
        return tuple(every.values())

    def __iter__(self) -> Iterator[InstanceKey]:
        return iter(dict.fromkeys(key for part in self._parts for key in part))

    def __len__(self) -> int:
        return len({key for part in self._parts for key in part})


class AggregateRegistry:
    """A `Registry` over others; the first one that knows a service or an address decides what it is."""

    def __init__(self, registries: Sequence[Registry]) -> None:
        self._registries = tuple(registries)
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Run all of them until cancelled."""
        async with asyncio.TaskGroup() as group:
            for registry in self._registries:
                group.create_task(registry.run())
            for registry in self._registries:
                await registry.synced.wait()
            self.synced.set()

    def services(self) -> Mapping[str, Service]:
        """All services by host name."""
        return First([registry.services() for registry in self._registries])

    def instances(self) -> Mapping[InstanceKey, tuple[Instance, ...]]:
        """Instances of all registries by host name and service port."""
        return Joined([registry.instances() for registry in self._registries])

    def workloads(self) -> Mapping[str, Workload]:
        """Workloads by address."""
        return First([registry.workloads() for registry in self._registries])

    def seen(self, key: ObjectKey) -> str | None:
        """The version of an object as the first registry that knows it has seen it."""
        return next((v for registry in self._registries if (v := registry.seen(key)) is not None), None)

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` after a change in any of them."""
        for registry in self._registries:
            registry.subscribe(changed)
