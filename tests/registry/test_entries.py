"""T7: the registry of ServiceEntries beside a platform's: what it makes, and what it says has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh.galley.source.files import FileSource
from mesh.model import Resolution
from mesh.model.sources import Changes
from mesh.registry.aggregate import AggregateRegistry
from mesh.registry.entries import with_entries
from mesh.registry.static import StaticRegistry

pytestmark = pytest.mark.behaviour("T7", "M1")

SERVICES = """
services:
  - name: forecast
    namespace: weather
    addresses: [10.0.0.1]
    ports: [{number: 3002, name: http}]
    instances: [{address: 127.0.0.1, labels: {app: forecast}}]
"""
FORECAST = "forecast.weather.svc.cluster.local"


def entry(host: str, spec: str, name: str = "x", kind: str = "ServiceEntry") -> str:
    hosts = f"hosts: [{host}], " if host else ""
    return (
        f"---\napiVersion: networking.istio.io/v1\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: weather}}\nspec: {{{hosts}{spec}}}\n"
    )


class Sources:
    """Files, and the registry over them."""

    def __init__(self, folder: Path) -> None:
        self.services = folder / "services.yaml"
        self.rules = folder / "rules.yaml"
        self.services.write_text(SERVICES)
        self.rules.write_text("")
        self.changes: list[Changes] = []

    def registry(self) -> tuple[AggregateRegistry, FileSource]:
        config = FileSource([self.rules])
        made = with_entries(StaticRegistry(self.services), config)
        made.subscribe(self.changes.append)
        return made, config

    def write(self, *entries: str) -> None:
        fresh = self.rules.with_suffix(".new")
        fresh.write_text("".join(entries))
        fresh.replace(self.rules)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AggregateRegistry]:
        registry, config = self.registry()
        tasks = [asyncio.create_task(each.run()) for each in (registry, config)]
        try:
            await asyncio.wait_for(registry.synced.wait(), 30)
            yield registry
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


async def until(registry: AggregateRegistry, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, which it may after each change."""
    changed = asyncio.Event()
    registry.subscribe(lambda _: changed.set())
    async with asyncio.timeout(30):
        while not condition():
            await changed.wait()
            changed.clear()


async def known(registry: AggregateRegistry, *hosts: str) -> None:
    """Wait until these are all services."""
    await until(registry, lambda: set(registry.services()) == set(hosts))


HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"


def test_what_was_there_at_the_start_is_known_when_it_is_synced(sources: Sources) -> None:
    sources.write(
        entry("a.example", f"{HTTP}, resolution: DNS, exportTo: ['.'], subjectAltNames: [b.example]")
    )

    async def run() -> None:
        async with sources.running() as registry:
            assert set(registry.services()) == {FORECAST, "a.example"}
            assert len(registry.services()) == 2
            service = registry.services()["a.example"]
            assert (service.resolution, service.mesh_external) == (Resolution.DNS, True)
            assert service.export_to == {"."}
            assert service.subject_alt_names == ("b.example",)
            assert str(service.origin) == "ServiceEntry weather/x"
            (instance,) = registry.instances()["a.example", 80]
            assert (instance.address, instance.port) == ("a.example", 80)
            assert registry.workloads()["127.0.0.1"].namespace == "weather"

    asyncio.run(run())


def test_changes_name_what_differs(sources: Sources) -> None:
    async def run() -> None:
        async with sources.running() as registry:
            await known(registry, FORECAST)
            sources.changes.clear()
            sources.write(entry("a.example", f"{HTTP}, resolution: DNS"))
            await known(registry, FORECAST, "a.example")
            told = Changes.together(sources.changes)
            assert told == Changes(frozenset({"a.example"}), frozenset({("a.example", 80)}))
            sources.write("")
            await known(registry, FORECAST)
            assert ("a.example", 80) not in registry.instances()

    asyncio.run(run())


def test_a_host_of_the_platform_stays_what_it_is_and_gets_further_instances(sources: Sources) -> None:
    ports = "ports: [{number: 3002, name: http, protocol: HTTP}]"
    endpoints = "endpoints: [{address: 192.0.2.1}, {address: 127.0.0.1}]"
    sources.write(entry(FORECAST, f"{ports}, location: MESH_INTERNAL, resolution: STATIC, {endpoints}"))

    async def run() -> None:
        async with sources.running() as registry:
            assert str(registry.services()[FORECAST].origin) == "Service weather/forecast"
            found = [each.address for each in registry.instances()[FORECAST, 3002]]
            assert found == ["127.0.0.1", "192.0.2.1"], "each address once"

    asyncio.run(run())


def test_what_is_not_there_raises_key_error(sources: Sources) -> None:
    registry, _ = sources.registry()
    with pytest.raises(KeyError):
        registry.services()["nowhere"]
    with pytest.raises(KeyError):
        registry.instances()["nowhere", 1]


def test_workload_entries_are_workloads(sources: Sources) -> None:
    machine = "address: 192.0.2.9, labels: {app: vm}, serviceAccount: vm"
    chosen = f"{HTTP}, location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {{labels: {{app: vm}}}}"
    sources.write(entry("", machine, "vm", "WorkloadEntry"), entry("a.example", chosen))

    async def run() -> None:
        async with sources.running() as registry:
            (instance,) = registry.instances()["a.example", 80]
            assert (instance.address, instance.service_account) == ("192.0.2.9", "vm")
            assert registry.workloads()["192.0.2.9"].name == "vm"
            sources.write(entry("a.example", chosen))
            await until(registry, lambda: not registry.instances().get(("a.example", 80)))
            assert "192.0.2.9" not in registry.workloads()

    asyncio.run(run())
