"""Compile time of a mesh of many services: everything at first, then after one change.

`python benchmarks/compile.py [SERVICES]`. Without network or Envoy: what Pilot computes between learning of
a change and having the bytes.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from mesh.api.meshconfig import MeshConfig
from mesh.galley.store import ConfigStore
from mesh.model import Instance, Labels, ObjectKey, Port, Protocol, Proxy, ProxyKind, Service
from mesh.model.sources import Changes
from mesh.pilot.compile import Compiler
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.types import CDS, EDS, LDS, RDS, Resource
from mesh.registry.table import Table

NAMESPACES = 10
VERSIONS = ("v1", "v2")


class World:
    """So many services in ten namespaces, a quarter of them with rules; two proxies in two namespaces."""

    def __init__(self, services: int) -> None:
        self.table = Table()
        self.store = ConfigStore()
        self.changes = Changes()
        self.keys: set[ObjectKey] = set()
        self.store.subscribe(self.keys.update)
        self.snapshot: Snapshot | None = None
        self.mesh = MeshConfig()
        self.compiler = Compiler()
        self.proxies = [Proxy(ProxyKind.SIDECAR, f"10.9.0.{i}", f"caller-{i}", f"ns-{i}") for i in range(2)]
        for i in range(services):
            self.add(i)

    def add(self, i: int) -> None:
        """Add one service with two instances."""
        name, namespace = f"service-{i}", f"ns-{i % NAMESPACES}"
        host = f"{name}.{namespace}.svc.cluster.local"
        number = 80 if i % 2 else 8000 + i % 7
        ports = (Port(number, "http", Protocol.HTTP), Port(3306, "mysql", Protocol.MYSQL))
        service = Service(
            host, name, namespace, ports, (f"10.2.{i // 250}.{i % 250}",),
            origin=ObjectKey("Service", namespace, name),
        )  # fmt: skip
        self.changes |= self.table.put_service(host, service)
        self.scale(host, ports, i, len(VERSIONS))
        if i % 4 == 0:
            self.rule(name, namespace, 90)

    def scale(self, host: str, ports: tuple[Port, ...], i: int, count: int) -> None:
        """Set the number of instances."""
        self.changes |= self.table.put_instances(
            host,
            {
                port.number: [
                    Instance(
                        host, port.number, f"10.{3 + n}.{i // 250}.{i % 250}", port.number,
                        labels=Labels({"version": VERSIONS[n % 2]}),
                    )
                    for n in range(count)
                ]
                for port in ports
            },
        )  # fmt: skip

    def rule(self, name: str, namespace: str, weight: int) -> None:
        """A weighted rule and its subsets."""
        to = [("v1", weight), ("v2", 100 - weight)]
        route = [{"destination": {"host": name, "subset": subset}, "weight": part} for subset, part in to]
        subsets = [{"name": subset, "labels": {"version": subset}} for subset in VERSIONS]
        for kind, spec in (
            ("VirtualService", {"hosts": [name], "http": [{"route": route}]}),
            ("DestinationRule", {"host": name, "subsets": subsets}),
        ):
            metadata = {"name": name, "namespace": namespace}
            self.store.put(
                {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
            )

    def push(self) -> Iterator[Resource]:
        """Make the next snapshot and compile everything for every proxy."""
        changes, self.changes = self.changes, Changes()
        keys = frozenset(self.keys)
        self.keys.clear()
        self.snapshot = Snapshot.build(self.snapshot, self.table, self.store, self.mesh, changes, keys)
        for proxy in self.proxies:
            for full, part in ((CDS, EDS), (LDS, RDS)):
                found = self.compiler.all(self.snapshot, proxy, full)
                names = {name for each in found.values() for _, name in each.waits_for}
                yield from found.values()
                yield from self.compiler.named(self.snapshot, proxy, part, names).values()


def timed(world: World) -> tuple[float, int]:
    """Milliseconds of CPU of a push, and how many results it computed."""
    before = world.compiler.statistics()["compiled"]
    began = time.process_time()
    for _ in world.push():
        pass
    took = (time.process_time() - began) * 1000
    return took, world.compiler.statistics()["compiled"] - before


def repeated(world: World, change: Callable[[int], None], times: int = 20) -> str:
    """Median and maximum of a change made several times."""
    results = []
    for i in range(times):
        change(i)
        results.append(timed(world))
    took = [each for each, _ in results]
    return f"{statistics.median(took):7.1f} ms (max {max(took):.1f}), {results[-1][1]} results computed"


def main(services: int) -> None:
    """Print the figures."""
    world = World(services)
    gc.collect()
    first, computed = timed(world)
    resources = list(world.push())
    size = sum(len(each.payload) for each in resources) / 2**20
    print(f"{services} services, 2 sidecars in 2 namespaces: {len(resources)} resources, {size:.1f} MiB")
    print(f"first           {first:7.1f} ms, {computed} results computed")
    print(f"nothing         {repeated(world, lambda i: None)}")
    host = "service-3.ns-3.svc.cluster.local"
    ports = world.table.services()[host].ports
    print(f"one scaled      {repeated(world, lambda i: world.scale(host, ports, 3, 2 + i % 2))}")
    print(f"one rule        {repeated(world, lambda i: world.rule('service-4', 'ns-4', 10 + i))}")
    service = world.table.services()[host]

    def relabel(i: int) -> None:
        labels = Labels({"turn": str(i)})
        world.changes |= world.table.put_service(host, replace(service, labels=labels))

    print(f"label changed   {repeated(world, relabel)}")
    print(f"service added   {repeated(world, lambda i: world.add(services + i))}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
