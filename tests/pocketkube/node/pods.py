"""Two nodes with an API and nothing else: no scheduler, so that a Pod names its node itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketkube import bootstrap
from pocketkube.api.api import Api
from pocketkube.images import Catalogue
from pocketkube.network.dns import DnsServer
from pocketkube.network.names import Names
from pocketkube.network.proxier import Proxier
from pocketkube.network.tables import Tables
from pocketkube.node.backoff import BackOff
from pocketkube.node.hooks import PodAccess
from pocketkube.node.kubelet import Kubelet, machine_capacity
from pocketkube.node.outside import OutsideHosts
from pocketkube.node.services import Means, NodeServices, places
from pocketkube.node.sources import Sources
from tests.pocketkube.node.inside import Node

Obj = dict[str, Any]


@dataclass(frozen=True)
class Nodes:
    """The nodes and what tests do with them."""

    api: Api
    access: PodAccess
    outside: OutsideHosts

    async def run(self, name: str, script: str, *, container: Obj | None = None, **spec: Any) -> Obj:
        """Create a Pod whose container `main` runs a shell script."""
        main = {
            "name": "main",
            "image": "pocketkube/tools",
            "command": ["sh", "-c", script],
            **(container or {}),
        }
        metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
        whole = {"nodeName": "pocket-1", "containers": [main], "automountServiceAccountToken": False, **spec}
        return await self.api.create("pods", {"metadata": metadata, "spec": whole}, "default")

    async def until(self, name: str, check: Callable[[Obj], Any]) -> Obj:
        """The Pod, once `check` holds for it."""
        pods, revision = self.api.list("pods", "default")
        for pod in pods:
            if pod["metadata"]["name"] == name and check(pod):
                return pod
        async for event in self.api.watch("pods", "default", since=revision):
            if event.object["metadata"]["name"] == name and check(event.object):
                return event.object
        raise AssertionError

    async def gone(self, name: str) -> None:
        """Return when the Pod's object is gone."""
        pods, revision = self.api.list("pods", "default")
        if not any(pod["metadata"]["name"] == name for pod in pods):
            return
        async for event in self.api.watch("pods", "default", since=revision):
            if event.type == "DELETED" and event.object["metadata"]["name"] == name:
                return

    async def folder_gone(self, folder: Path, name: str) -> list[str]:
        """The names of the Pods that have a folder, once `name` has none: it follows the object."""
        while True:
            names = folders_of(folder)
            if name not in names:
                return names
            await asyncio.sleep(0.01)

    async def log(self, name: str, *, container: str = "main", previous: bool = False) -> str:
        """What a container has printed so far."""
        pod = self.api.get("pods", name, "default")
        parts = self.access.logs(pod, container, follow=False, tail=None, previous=previous)
        return b"".join([part async for part in parts]).decode()

    async def whole_log(self, name: str, container: str = "main") -> str:
        """What a container prints until its end."""
        pod = self.api.get("pods", name, "default")
        parts = self.access.logs(pod, container, follow=True, tail=None, previous=False)
        return b"".join([part async for part in parts]).decode()

    async def command(self, name: str, *command: str) -> tuple[int, str]:
        """Run a command in a Pod: exit code and all it printed."""
        printed: list[bytes] = []

        async def out(_stream: int, data: bytes) -> None:
            printed.append(data)

        pod = self.api.get("pods", name, "default")
        code = await self.access.exec(pod, "main", list(command), stdin=None, tty=False, out=out)
        return code, b"".join(printed).decode()

    def events(self, name: str) -> list[str]:
        """Reasons of the events about an object, in the order in which they were first told."""
        found = [event for event in self.api.list("events")[0] if event["involvedObject"]["name"] == name]
        return [
            event["reason"]
            for event in sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))
        ]


def running(pod: Obj) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running")


def ready(pod: Obj) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def state(pod: Obj, container: int = 0) -> Obj:
    """The state of a container, empty before the kubelet has told of it."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return dict(statuses[container]["state"]) if statuses else {}


def restarts(pod: Obj) -> int:
    return int((pod.get("status", {}).get("containerStatuses") or [{"restartCount": 0}])[0]["restartCount"])


@asynccontextmanager
async def nodes(node: Node, *, backoff: BackOff | None = None) -> AsyncIterator[Nodes]:
    """The nodes, running. `backoff`: another rule than the kubelet's, for tests that do not want to wait."""
    api = Api()
    await bootstrap.populate(api)
    await api.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}}, "default")
    sources = Sources(api)
    rule = backoff or BackOff()
    means = Means(api, node.runtime, Catalogue(), node.machine, node.state, sources, machine_capacity(), rule)
    kubelets = [Kubelet(NodeServices.of(means, place)) for place in places()]
    proxier = Proxier(api, Tables(node.reaper, node.state.run / "lock"))
    names = Names(api, proxier)
    await DnsServer(names.index).start()
    access = PodAccess(kubelets)
    api.kubelet = access
    loops = [sources.run(), proxier.run(), names.run(), *(kubelet.run() for kubelet in kubelets)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop) for loop in loops]
        yield Nodes(api, access, OutsideHosts(means))
        for task in tasks:
            task.cancel()


def folders_of(folder: Path) -> list[str]:
    """The names of the Pods that have a folder."""
    return sorted(path.name.split("_")[1] for path in folder.iterdir())
