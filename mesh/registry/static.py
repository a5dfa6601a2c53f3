"""A registry from a YAML file: for tests, and for a Pilot without a platform.

services:
  - name: forecast
    namespace: weather
    addresses: [10.0.0.1]
    ports: [{number: 3002, name: http}]
    instances: [{address: 127.0.0.1, ports: {3002: 9002}, labels: {version: v1}}]
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mesh.api.base import Model
from mesh.model import Instance, Labels, Locality, ObjectKey, Port, Protocol, Resolution, Service, Workload
from mesh.model.sources import Changes
from mesh.registry.kubernetes.convert import hostname
from mesh.registry.table import InstanceKey, Table

POLL = 0.2


class RegistryFileProblem(Exception):
    """The file cannot be used; the message names the file and the field."""


class StaticPort(Model):
    """A port of a service in the file."""

    number: int
    name: str = ""
    protocol: str = ""


class StaticInstance(Model):
    """An instance in the file; `ports` maps service ports to the instance's own where they differ."""

    address: str
    name: str = ""
    ports: dict[int, int] = {}
    labels: dict[str, str] = {}
    locality: str = ""
    service_account: str = "default"
    healthy: bool = True


class StaticService(Model):
    """A service in the file."""

    name: str
    namespace: str = "default"
    addresses: tuple[str, ...] = ()
    ports: tuple[StaticPort, ...] = ()
    labels: dict[str, str] = {}
    instances: tuple[StaticInstance, ...] = ()


class StaticFile(Model):
    """The whole file."""

    services: tuple[StaticService, ...] = ()


class StaticRegistry:
    """A `Registry` over one file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = Table()
        self._stamp = 0
        self._versions = 0
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Read the file, and again when it changes, until cancelled; `RegistryFileProblem` at the start."""
        while True:
            try:
                self.read()
            except RegistryFileProblem:
                if not self.synced.is_set():
                    raise
            self.synced.set()
            await asyncio.sleep(POLL)

    def read(self) -> None:
        """Read the file if it has changed; what it does not have any more is forgotten."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._stamp:
                return
            self._stamp = stamp
            content = StaticFile.model_validate(yaml.safe_load(self._path.read_text()) or {})
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise RegistryFileProblem(f"{self._path}: {error}") from None
        self._versions += 1
        self._table.tell(self._take(content))

    def services(self) -> Mapping[str, Service]:
        """All services by host name."""
        return self._table.services()

    def instances(self) -> Mapping[InstanceKey, tuple[Instance, ...]]:
        """Instances by host name and service port."""
        return self._table.instances()

    def workloads(self) -> Mapping[str, Workload]:
        """Workloads by address."""
        return self._table.workloads()

    def seen(self, key: ObjectKey) -> str | None:
        """How often the file was read, if it has that Service."""
        known = key.kind == "Service" and hostname(key.name, key.namespace) in self._table.services()
        return str(self._versions) if known else None

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` after each change."""
        self._table.subscribe(changed)

    def _take(self, content: StaticFile) -> Changes:
        changes = Changes()
        hosts = {hostname(each.name, each.namespace): each for each in content.services}
        for gone in set(self._table.services()) - set(hosts):
            changes = changes | self._table.put_service(gone, None) | self._table.put_instances(gone, {})
        workloads = {each.address: workload(of, each) for of in content.services for each in of.instances}
        for address in set(self._table.workloads()) | set(workloads):
            changes = changes | self._table.put_workload(address, workloads.get(address))
        for host, each in hosts.items():
            changes = changes | self._table.put_service(host, service(host, each))
            changes = changes | self._table.put_instances(host, instances(host, each, workloads))
        return changes


def service(host: str, given: StaticService) -> Service:
    """A service as the model has it."""
    ports = tuple(Port(p.number, p.name, Protocol.of_port(p.name, p.protocol)) for p in given.ports)
    return Service(
        hostname=host,
        name=given.name,
        namespace=given.namespace,
        ports=ports,
        addresses=given.addresses,
        resolution=Resolution.EDS if given.addresses else Resolution.PASSTHROUGH,
        labels=Labels(given.labels),
        origin=ObjectKey("Service", given.namespace, given.name),
    )


def workload(of: StaticService, given: StaticInstance) -> Workload:
    """What runs at an instance's address."""
    return Workload(
        name=given.name or given.address,
        namespace=of.namespace,
        addresses=(given.address,),
        labels=Labels(given.labels),
        service_account=given.service_account,
        locality=Locality.parse(given.locality),
    )


def instances(
    host: str, given: StaticService, workloads: Mapping[str, Workload]
) -> dict[int, tuple[Instance, ...]]:
    """The instances of each port."""

    def one(port: StaticPort, at: StaticInstance) -> Instance:
        runs: Any = workloads[at.address]
        number = at.ports.get(port.number, port.number)
        return Instance(
            host, port.number, at.address, number, runs, runs.labels, runs.locality, runs.service_account,
            healthy=at.healthy,
        )  # fmt: skip

    return {port.number: tuple(one(port, at) for at in given.instances) for port in given.ports}
