"""Puts the mesh's objects into a cluster by server-side apply, waits until they run; takes them away."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

from mesh.install.manifests import OWNER
from mesh.install.readiness import wait_until_available
from mesh.install.server import InstallFailed, Obj, Server, path_of, root_of

__all__ = ["InstallFailed", "install", "uninstall"]

ROOT_MAP, KEYS = "istio-ca-root-cert", "istio.io/key-and-cert"
Progress = Callable[[str], None]


def silent(_: str) -> None:
    """No progress wanted."""


def install(
    client: Any, objects: Sequence[Obj], *, progress: Progress = silent, timeout: float = 120.0
) -> None:
    """Apply `objects` in their order and wait until every Deployment among them is available.

    `client` is an `ApiClient` of the `kubernetes` library. Applying twice changes nothing.
    Raises `InstallFailed` with the API server's words, or with what was not ready after `timeout` seconds.
    """
    server, objects = Server(client), list(objects)
    progress(f"applying {len(objects)} objects")
    with ThreadPoolExecutor(4) as pool:  # objects of one kind do not depend on each other
        for _, group in groupby(objects, key=lambda obj: obj["kind"]):
            list(pool.map(server.apply, group))
    deployments = [obj for obj in objects if obj["kind"] == "Deployment"]
    wait_until_available(server, deployments, progress, timeout)


def uninstall(client: Any, objects: Sequence[Obj], *, progress: Progress = silent) -> None:
    """Delete what `install` applied, last first; what is not there, or is not ours, is passed over.

    A kind of configuration that has objects stays, with them: they are their owners', and would go with it.
    """
    server = Server(client)
    for obj in reversed(objects):
        name = f"{obj['kind']} {obj['metadata']['name']}"
        if not ours(server.get(path_of(obj))):
            continue
        if obj["kind"] == "CustomResourceDefinition" and in_use(server, obj):
            progress(f"{name} stays: it has objects")
            continue
        progress(f"deleting {name}")
        server.delete(path_of(obj))
    for path in citadels(server):
        progress(f"deleting {path}")
        server.delete(path)


def citadels(server: Server) -> Iterator[str]:
    """What Citadel put into the namespaces of others: the root, and Secrets with keys and certificates."""
    for query in (f"configmaps?fieldSelector=metadata.name={ROOT_MAP}", f"secrets?fieldSelector=type={KEYS}"):
        plural = query.partition("?")[0]
        for item in (server.get(f"/api/v1/{query}") or {}).get("items", ()):
            metadata = item["metadata"]
            yield f"/api/v1/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def ours(found: Obj | None) -> bool:
    """Whether an object is there and `install` applied it."""
    labels = ((found or {}).get("metadata") or {}).get("labels") or {}
    return OWNER.items() <= labels.items()


def in_use(server: Server, definition: Obj) -> bool:
    """Whether a kind of configuration has objects."""
    spec = definition["spec"]
    version = next(version["name"] for version in spec["versions"] if version.get("storage"))
    path = f"{root_of(spec['group'] + '/' + version)}/{spec['names']['plural']}?limit=1"
    return bool((server.get(path) or {}).get("items"))
