"""What a registry knows, with the comparison that finds out what changed."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from mesh.model import Instance, Service, Workload
from mesh.model.sources import Changes

InstanceKey = tuple[str, int]
T = TypeVar("T")


class Table:
    """Services, instances and workloads. A value that is put again unchanged stays the same object."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._instances: dict[InstanceKey, tuple[Instance, ...]] = {}
        self._workloads: dict[str, Workload] = {}
        self._subscribers: list[Callable[[Changes], None]] = []

    def __repr__(self) -> str:
        return f"<Table of {len(self._services)} services, {len(self._workloads)} workloads>"

    def services(self) -> Mapping[str, Service]:
        """All services by host name."""
        return MappingProxyType(self._services)

    def instances(self) -> Mapping[InstanceKey, tuple[Instance, ...]]:
        """Instances by host name and service port."""
        return MappingProxyType(self._instances)

    def workloads(self) -> Mapping[str, Workload]:
        """Workloads by address."""
        return MappingProxyType(self._workloads)

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` after each change."""
        self._subscribers.append(changed)

    def put_service(self, hostname: str, service: Service | None) -> Changes:
        """Set or (None) forget a service."""
        if self._services.get(hostname) == service:
            return Changes()
        _set(self._services, hostname, service)
        return Changes(services=frozenset({hostname}))

    def put_instances(self, hostname: str, instances: Mapping[int, Iterable[Instance]]) -> Changes:
        """Make `instances`, by service port, all that a service has."""
        wanted = {(hostname, port): tuple(each) for port, each in instances.items()}
        gone = [key for key in self._instances if key[0] == hostname and key not in wanted]
        differs = [key for key, value in wanted.items() if self._instances.get(key) != value]
        for key in gone:
            del self._instances[key]
        self._instances.update({key: wanted[key] for key in differs})
        return Changes(instances=frozenset([*gone, *differs]))

    def put_workload(self, address: str, workload: Workload | None) -> Changes:
        """Set or (None) forget what runs at an address."""
        if self._workloads.get(address) == workload:
            return Changes()
        _set(self._workloads, address, workload)
        return Changes(workloads=frozenset({address}))

    def tell(self, changes: Changes) -> None:
        """Tell the subscribers, if there is something to tell."""
        if changes:
            for subscriber in self._subscribers:
                subscriber(changes)


def _set(mapping: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
