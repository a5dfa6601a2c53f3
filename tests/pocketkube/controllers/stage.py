"""The real API with the real controllers, and a hand that does for Pods what a node would.

Time is virtual: see `virtual`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pocketkube.api.api import Api
from pocketkube.api.errors import NotFound
from pocketkube.api.objects import Obj, copy_of, timestamp
from pocketkube.controllers.all import all_controllers
from pocketkube.controllers.cluster import Cluster
from pocketkube.controllers.controller import Controller, run_controllers

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = 0.5
"""Long enough for everything to have happened: what the controllers wait to gather more is shorter."""
NAMESPACE = "demo"


def clock() -> datetime:
    """Virtual time as a date."""
    return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())


class Stage:
    """What tests do with the cluster. Pods get ready by themselves unless `by_hand`."""

    def __init__(self, api: Api, controllers: Iterable[Controller[Any]]) -> None:
        self.api = api
        self.controllers = list(controllers)
        self.by_hand = False
        self._addresses = 1

    async def settled(self, seconds: float = MOMENT) -> None:
        """Let so many seconds pass, and everything happen that follows from what was done."""
        await asyncio.sleep(seconds)

    async def create(self, resource: str, obj: Obj, namespace: str = NAMESPACE) -> Obj:
        """Create an object and let its consequences happen."""
        created = await self.api.create(resource, obj, namespace)
        await self.settled()
        return created

    async def patch(self, resource: str, name: str, change: Any, **options: Any) -> Obj:
        """Change an object and let the consequences happen."""
        changed = await self.api.patch(resource, name, NAMESPACE, change, **options)
        await self.settled()
        return changed

    async def delete(self, resource: str, name: str, namespace: str = NAMESPACE, **options: Any) -> None:
        """Delete an object and let the consequences happen."""
        await self.api.delete(resource, name, namespace, **options)
        await self.settled()

    def get(self, resource: str, name: str, namespace: str = NAMESPACE) -> Obj:
        """The object as it is."""
        return self.api.get(resource, name, namespace)

    def exists(self, resource: str, name: str, namespace: str = NAMESPACE) -> bool:
        """Whether the object is there."""
        try:
            self.api.get(resource, name, namespace)
        except NotFound:
            return False
        return True

    def all(self, resource: str, labels: str = "") -> list[Obj]:
        """All objects of the namespace."""
        return self.api.list(resource, NAMESPACE, labels=labels)[0]

    def pods(self, labels: str = "") -> list[Obj]:
        """The Pods that are not being deleted."""
        return [pod for pod in self.all("pods", labels) if "deletionTimestamp" not in pod["metadata"]]

    def events(self, reason: str) -> list[str]:
        """The messages of the events with a reason."""
        return [event["message"] for event in self.all("events") if event["reason"] == reason]

    # What a node does

    async def set_status(self, pod: Obj, **status: Any) -> Obj:
        """Write a Pod's status over the present one, without waiting for consequences."""
        present = copy_of(self.api.get("pods", pod["metadata"]["name"], NAMESPACE))
        present["status"] = {**present["status"], **status}
        return await self.api.update("pods", present, subresource="status")

    async def make_ready(self, pod: Obj, *, ready: bool = True) -> Obj:
        """The Pod runs, and is ready or not."""
        address = self.get("pods", pod["metadata"]["name"])["status"].get("podIP")
        if not address:
            self._addresses += 1
            address = f"198.18.{self._addresses // 250 + 1}.{self._addresses % 250 + 1}"
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": timestamp(clock())}
        return await self.set_status(pod, phase="Running", podIP=address, conditions=[condition])

    async def finish(self, pod: Obj, *, well: bool = True) -> None:
        """The Pod's containers end."""
        ended = {"state": {"terminated": {"exitCode": 0 if well else 1, "finishedAt": timestamp(clock())}}}
        statuses = [{"name": "a", "image": "i", "imageID": "i", "ready": False, "restartCount": 0, **ended}]
        await self.set_status(pod, phase="Succeeded" if well else "Failed", containerStatuses=statuses)
        await self.settled()

    async def remove(self, pod: Obj) -> None:
        """The node's last act for a Pod that is deleted."""
        await self.api.delete("pods", pod["metadata"]["name"], NAMESPACE, grace_seconds=0)

    async def play_node(self) -> None:
        """What nodes do, until cancelled."""
        async for event in self.api.watch("pods", since=0):
            if not self.by_hand and event.type != "DELETED":
                await self._play_pod(event.object)

    async def _play_pod(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        if not self.exists("pods", metadata["name"], metadata["namespace"]):
            return
        if "deletionTimestamp" in metadata:
            await self.remove(pod)
        elif pod["spec"].get("nodeName") and not pod["status"].get("podIP"):
            await self.make_ready(pod)


@asynccontextmanager
async def stage(*, nodes: int = 2, by_hand: bool = False) -> AsyncIterator[Stage]:
    """An API with controllers, nodes and the namespace `demo`."""
    api = Api(clock=clock)
    cluster = Cluster(api, clock=clock)
    made = Stage(api, all_controllers(cluster, b"the root certificate"))
    made.by_hand = by_hand
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(run_controllers(cluster, made.controllers)),
            group.create_task(made.play_node()),
        ]
        for number in range(1, nodes + 1):
            await api.create("nodes", node(f"node-{number}", f"zone-{number}"))
        await api.create("namespaces", {"metadata": {"name": NAMESPACE}})
        await made.settled()
        yield made
        for task in tasks:
            task.cancel()


def node(name: str, zone: str) -> Obj:
    """A node."""
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    return {"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {"pods": "110"}}}


def template(app: str, **spec: Any) -> Obj:
    """A Pod template."""
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "a", "image": "v1"}], **spec},
    }


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    """A Pod."""
    whole = {"containers": [{"name": "a", "image": "v1"}], **spec}
    return {"metadata": {"name": name, "labels": labels or {"app": name}}, "spec": whole}


def replica_set(name: str, replicas: int, **spec: Any) -> Obj:
    """A ReplicaSet of Pods labelled with its name."""
    selector = {"matchLabels": {"app": name}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": selector, "template": template(name), **spec},
    }


def deployment(name: str, replicas: int, **spec: Any) -> Obj:
    """A Deployment of Pods labelled with its name."""
    return replica_set(name, replicas, **spec)


def service(name: str, **spec: Any) -> Obj:
    """A Service of the Pods labelled with its name."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports, **spec}}
