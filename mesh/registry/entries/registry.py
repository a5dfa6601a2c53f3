"""The registry of ServiceEntries: made from the configuration, and from the platform's workloads where
entries select them. Each change makes only the hosts anew that hang on it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from mesh.model import ConfigObject, Instance, ObjectKey, Service, Workload
from mesh.model.sources import Changes, ConfigSource, Registry
from mesh.registry.aggregate import AggregateRegistry
from mesh.registry.entries import convert
from mesh.registry.table import InstanceKey, Table

SERVICE, WORKLOAD = "ServiceEntry", "WorkloadEntry"


def with_entries(platform: Registry, config: ConfigSource) -> AggregateRegistry:
    """A platform's registry together with the configuration's ServiceEntries; the platform goes first."""
    return AggregateRegistry((platform, EntryRegistry(config, platform)))


class EntryRegistry:
    """A `Registry` over a source of configuration. Neither the source nor the platform is run by it."""

    def __init__(self, config: ConfigSource, platform: Registry) -> None:
        self._config = config
        self._platform = platform
        self._table = Table()
        self._entries: dict[ObjectKey, ConfigObject] = {}
        self._by_host: dict[str, set[ObjectKey]] = {}
        self._entry_addresses: dict[ObjectKey, str] = {}
        self._workloads: dict[str, dict[str, Workload]] = {}
        self._home: dict[str, str] = {}
        self.synced = asyncio.Event()
        config.subscribe(self._config_changed)
        platform.subscribe(self._platform_changed)

    def __repr__(self) -> str:
        return f"<EntryRegistry of {len(self._entries)} entries, {self._table!r}>"

    async def run(self) -> None:
        """Take over what there is once the sources know it; after that their changes drive it."""
        await asyncio.gather(self._config.synced.wait(), self._platform.synced.wait())
        self._platform_changed(Changes(workloads=frozenset(self._platform.workloads())))
        self._config_changed(frozenset(self._config.objects()))
        self.synced.set()
        await asyncio.Event().wait()

    def services(self) -> Mapping[str, Service]:
        """All services by host name."""
        return self._table.services()

    def instances(self) -> Mapping[InstanceKey, tuple[Instance, ...]]:
        """Instances by host name and service port."""
        return self._table.instances()

    def workloads(self) -> Mapping[str, Workload]:
        """The workloads of WorkloadEntries by address."""
        return self._table.workloads()

    def seen(self, key: ObjectKey) -> str | None:
        """Nothing: what is seen of the configuration, its source says."""
        del key
        return None

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` after each change."""
        self._table.subscribe(changed)

    # Changes of the configuration

    def _config_changed(self, keys: frozenset[ObjectKey]) -> None:
        objects = self._config.objects()
        touched: set[str] = set()
        changes = Changes()
        for key in sorted(each for each in keys if each.kind == WORKLOAD):
            found, hosts = self._workload_entry(key, objects.get(key))
            changes |= found
            touched |= hosts
        for key in (each for each in keys if each.kind == SERVICE):
            touched |= self._service_entry(key, objects.get(key))
        self._table.tell(Changes.together([changes, *map(self._host, sorted(touched))]))

    def _service_entry(self, key: ObjectKey, entry: ConfigObject | None) -> set[str]:
        """Take or forget a ServiceEntry; gives back the hosts that it had or has."""
        before = self._entries.pop(key, None)
        touched = {*(convert.hosts(before) if before else ()), *(convert.hosts(entry) if entry else ())}
        for host in touched:
            self._by_host.setdefault(host, set()).discard(key)
        if entry is not None:
            self._entries[key] = entry
            for host in convert.hosts(entry):
                self._by_host[host].add(key)
        return touched

    def _workload_entry(self, key: ObjectKey, entry: ConfigObject | None) -> tuple[Changes, set[str]]:
        """Take or forget a WorkloadEntry; gives back the changes, and the hosts that may select it."""
        changes = Changes()
        before = self._entry_addresses.pop(key, None)
        workload = convert.workload(entry) if entry else None
        if before is not None and (workload is None or workload.address != before):
            self._settle(before, None)
            changes |= self._table.put_workload(before, None)
        if workload is not None and workload.address not in self._platform.workloads():
            self._entry_addresses[key] = workload.address
            self._settle(workload.address, workload)
            changes |= self._table.put_workload(workload.address, workload)
        return changes, self._selecting({key.namespace})

    # Changes of the platform

    def _platform_changed(self, changes: Changes) -> None:
        if not changes.workloads:
            return
        now = self._platform.workloads()
        namespaces: set[str] = set()
        for address in changes.workloads:
            workload = now.get(address)
            namespaces |= {self._home.get(address, ""), workload.namespace if workload else ""}
            self._settle(address, workload if workload and workload.address == address else None)
        self._table.tell(Changes.together(map(self._host, sorted(self._selecting(namespaces)))))

    def _settle(self, address: str, workload: Workload | None) -> None:
        """Note which namespace's workload is at an address."""
        before = self._home.pop(address, None)
        if before is not None:
            self._workloads[before].pop(address, None)
        if workload is not None:
            self._home[address] = workload.namespace
            self._workloads.setdefault(workload.namespace, {})[address] = workload

    def _selecting(self, namespaces: Iterable[str]) -> set[str]:
        """The hosts of entries that select workloads in these namespaces."""
        wanted = set(namespaces)
        chosen = (
            entry
            for key, entry in self._entries.items()
            if key.namespace in wanted and entry.spec.workload_selector is not None
        )
        return {host for entry in chosen for host in convert.hosts(entry)}

    # One host

    def _host(self, host: str) -> Changes:
        """Make a host anew."""
        entries = self._entries_of(host)
        if not entries:
            self._by_host.pop(host, None)
            return self._table.put_service(host, None) | self._table.put_instances(host, {})
        chosen = self._workloads.get(entries[0].namespace, {})
        objects = self._config.objects()
        specs = {
            address: objects[key].spec for key, address in self._entry_addresses.items() if key in objects
        }
        instances = convert.instances(host, entries, chosen, specs)
        return self._table.put_service(host, convert.service(host, entries)) | self._table.put_instances(
            host, instances
        )

    def _entries_of(self, host: str) -> list[ConfigObject]:
        """The entries that count for a host, oldest first: those of the oldest one's namespace."""
        every = [self._entries[key] for key in self._by_host.get(host, ())]
        every.sort(key=lambda each: (each.created, each.name, each.namespace))
        return [each for each in every if each.namespace == every[0].namespace]
