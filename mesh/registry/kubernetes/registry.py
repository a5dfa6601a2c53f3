"""Keeps the model true to Kubernetes: each event changes only what hangs on it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mesh.model import Instance, ObjectKey, Service, Workload
from mesh.model.sources import Changes
from mesh.platform.reflector import Obj, Reflector
from mesh.registry.kubernetes import convert
from mesh.registry.kubernetes.objects import Objects
from mesh.registry.table import InstanceKey, Table

PATHS = {
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
}


class KubernetesRegistry:
    """A `Registry` over a `kubernetes.aio` client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._objects = Objects()
        self._table = Table()
        self.synced = asyncio.Event()
        self._changed: Mapping[str, Callable[[Obj], Changes]] = {
            "Node": self._node,
            "Namespace": lambda _: Changes(),
            "Pod": self._pod,
            "Service": self._service,
            "EndpointSlice": self._slice,
        }

    def __repr__(self) -> str:
        return f"<KubernetesRegistry {self._table!r}>"

    async def run(self) -> None:
        """List and watch until cancelled."""
        reflectors = [self._reflector(kind) for kind in PATHS]
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            for reflector in reflectors:
                await reflector.synced.wait()
            self.synced.set()

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
        """The resourceVersion last seen of an object; None if it does not exist."""
        obj = self._objects.get(key)
        return None if obj is None else str(obj["metadata"]["resourceVersion"])

    def subscribe(self, changed: Callable[[Changes], None]) -> None:
        """Call `changed` after each change."""
        self._table.subscribe(changed)

    def _reflector(self, kind: str) -> Reflector:
        def replace(objects: list[Obj]) -> None:
            gone = self._objects.missing(kind, objects)
            self._tell(
                [*(self._take("DELETED", obj) for obj in gone), *(self._take("ADDED", o) for o in objects)]
            )

        def change(event: str, obj: Obj) -> None:
            self._tell([self._take(event, obj)])

        return Reflector(self._client, PATHS[kind], replace=replace, change=change)

    def _tell(self, changes: Iterable[Changes]) -> None:
        self._table.tell(Changes.together(changes))

    def _take(self, event: str, obj: Obj) -> Changes:
        if event == "DELETED":
            self._objects.remove(obj)
        else:
            self._objects.put(obj)
        return self._changed[obj["kind"]](obj)

    # One kind each: what hangs on it is made again.

    def _service(self, obj: Obj) -> Changes:
        metadata = obj["metadata"]
        found = self._objects.get(ObjectKey("Service", metadata["namespace"], metadata["name"]))
        made = convert.service(found) if found else None
        host = convert.hostname(metadata["name"], metadata["namespace"])
        return self._table.put_service(host, made) | self._instances(host)

    def _slice(self, obj: Obj) -> Changes:
        name = (obj["metadata"].get("labels") or {}).get(convert.SERVICE_NAME, "")
        return self._instances(convert.hostname(name, obj["metadata"]["namespace"]))

    def _pod(self, obj: Obj) -> Changes:
        metadata = obj["metadata"]
        key = ObjectKey("Pod", metadata["namespace"], metadata["name"])
        found = self._objects.get(key)
        made = convert.workload(found, self._objects.node_of(found)) if found else None
        together = Changes()
        for address in self._objects.addresses(key, made.addresses if made else ()):
            # An address may have gone to another Pod by now; that one's event has set it already.
            taken = self._table.workloads().get(address)
            if made is not None or taken is None or taken.origin == key:
                together = together | self._table.put_workload(address, made)
                for host in self._objects.services_at(address):
                    together = together | self._instances(host)
        return together

    def _node(self, obj: Obj) -> Changes:
        together = Changes()
        for pod in self._objects.pods_on(obj["metadata"]["name"]):
            together = together | self._pod(pod)
        return together

    def _instances(self, host: str) -> Changes:
        service = self._table.services().get(host)
        if service is None:
            return self._table.put_instances(host, {})
        slices = self._objects.slices_of(service.name, service.namespace)
        return self._table.put_instances(host, convert.instances(service, slices, self._table.workloads()))
