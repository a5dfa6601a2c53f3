"""Several registries as one. Where two know the same host, the services' instances are put together."""

import asyncio
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence

from mesh.model import Instance, ObjectKey, Service, Workload
from mesh.model.sources import Changes, Registry
from mesh.registry.table import InstanceKey


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
        return ChainMap(*(dict(registry.services()) for registry in self._registries))

    def instances(self) -> Mapping[InstanceKey, tuple[Instance, ...]]:
        """Instances of all registries by host name and service port."""
        merged: dict[InstanceKey, tuple[Instance, ...]] = {}
        for registry in self._registries:
            for key, found in registry.instances().items():
                merged[key] = merged[key] + found if key in merged else found
        return merged

    def workloads(self) -> Mapping[str, Workload]:
        """Workloads by address."""
        return ChainMap(*(dict(registry.workloads()) for registry in self._registries))

    def seen(self, key: ObjectKey) -> str | None:
        """The version of an object as the first registry that knows it has seen it."""
        return next((v for registry in self._registries if (v := registry.seen(key)) is not None), None)

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` after a change in any of them."""
        for registry in self._registries:
            registry.subscribe(changed)
