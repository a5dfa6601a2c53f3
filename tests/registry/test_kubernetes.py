"""W3, M3: the registry follows a real API server, and tells exactly what changed."""

import asyncio
from typing import Any

import pytest

from mesh.model import ObjectKey
from mesh.model.sources import Changes
from mesh.registry.kubernetes import KubernetesRegistry
from tests import loops
from tests.live import client_of, running, until
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("W3", "M3")


def slice_of(service: str, *addresses: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


def service(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": name}},
    }


def test_services_and_instances_follow_the_cluster(served: Served) -> None:
    namespace = served.namespace()
    host = f"s.{namespace}.svc.cluster.local"

    async def test() -> None:
        async with client_of(served.kubeconfig) as client:
            registry = KubernetesRegistry(client)
            told: list[Changes] = []
            registry.subscribe(told.append)
            async with running(registry):
                await asyncio.to_thread(served.run, served.api.create("services", service("s"), namespace))
                await until(lambda: host in registry.services(), "the service")
                made = slice_of("s", "198.18.9.1", "198.18.9.2")
                await asyncio.to_thread(
                    served.run, served.api.create("endpointslices.discovery.k8s.io", made, namespace)
                )
                await until(lambda: len(registry.instances().get((host, 80), ())) == 2, "both instances")
                assert told[-1] == Changes(instances=frozenset({(host, 80)}))
                assert registry.seen(ObjectKey("Service", namespace, "s")) is not None
                await asyncio.to_thread(served.run, served.api.delete("services", "s", namespace))
                await until(lambda: host not in registry.services(), "the service's end")
                assert not registry.instances().get((host, 80))
                assert registry.seen(ObjectKey("Service", namespace, "s")) is None

    loops.run(test())


def test_a_change_that_means_nothing_is_not_told(served: Served) -> None:
    namespace = served.namespace()
    host = f"quiet.{namespace}.svc.cluster.local"

    async def test() -> None:
        async with client_of(served.kubeconfig) as client:
            registry = KubernetesRegistry(client)
            async with running(registry):
                await asyncio.to_thread(
                    served.run, served.api.create("services", service("quiet"), namespace)
                )
                await until(lambda: host in registry.services(), "the service")
                told: list[Changes] = []
                registry.subscribe(told.append)
                before = registry.services()[host]
                key = ObjectKey("Service", namespace, "quiet")
                version = registry.seen(key)
                note = {"metadata": {"annotations": {"note": "means nothing"}}}
                await asyncio.to_thread(served.run, served.api.patch("services", "quiet", namespace, note))
                await until(lambda: registry.seen(key) != version, "the new version")
                assert registry.services()[host] is before
                assert not [each for each in told if host in each.services]

    loops.run(test())
