"""Puts the mesh's objects into a cluster by server-side apply, waits until they run; takes them away."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import Any

from mesh.install.manifests import OWNER
from mesh.install.profiles import DEFAULT, LABEL, OF_A_PROCESS
from mesh.install.readiness import leaving, wait_until_available, wait_until_gone, wait_until_left
from mesh.install.server import InstallFailed, Obj, Server, path_of, root_of

__all__ = ["InstallFailed", "install", "installed_profile", "uninstall"]

ROOT_MAP, ROOT_LABEL, KEYS = "istio-ca-root-cert", "istio.io/config=true", "istio.io/key-and-cert"
LEDGER = "trust.istio.io/ledger=true"
STATE = ("secrets/istio-ca-secret", "configmaps/istio-trust", "configmaps/istio-revocations")
OPERATORS = "cacerts"
CONTROL_PLANE = frozenset({"istio-pilot", "istio-citadel", "istio-galley"})
WEBHOOK = "failed calling webhook"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GALLEY, RETRY = 15.0, 0.1
"""Seconds until Galley must be reached, and between attempts."""

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """No progress wanted."""


def install(
    client: Any,
    objects: Sequence[Obj],
    rules: Sequence[Obj] = (),
    *,
    progress: Progress = silent,
    timeout: float = 120.0,
) -> None:
    """Apply `objects` in their order and wait until every Deployment among them is available. `rules` are
    configuration: Galley is asked about each, so they follow once it runs.

    `client` is an `ApiClient` of the `kubernetes` library. Applying twice changes nothing. Processes that
    another profile brought end first: two authorities would write the same trust.
    Raises `InstallFailed` with the API server's words, or with what was not ready after `timeout` seconds.
    """
    server, objects = Server(client), list(objects)
    wait_until_left(server, on_their_way_out(server, objects), progress, timeout)
    remove(server, other_processes(server, objects), progress, timeout)
    progress(f"applying {len(objects)} objects")
    with ThreadPoolExecutor(4) as pool:  # objects of one kind do not depend on each other
        for _, group in groupby(objects, key=lambda obj: obj["kind"]):
            list(pool.map(server.apply, group))
    deployments = [obj for obj in objects if obj["kind"] == "Deployment"]
    if rules:
        first = [obj for obj in deployments if obj["metadata"]["name"] in CONTROL_PLANE]
        wait_until_available(server, first, progress, timeout)
        configure(server, rules, progress)
        deployments = [obj for obj in deployments if obj not in first]
    wait_until_available(server, deployments, progress, timeout)


def on_their_way_out(server: Server, objects: Sequence[Obj]) -> list[str]:
    """The paths of the namespace, and of kinds of the mesh, that a former `uninstall` is still deleting."""
    namespaces = [path_of(obj) for obj in objects if obj["kind"] == "Namespace"]
    selector = ",".join(f"{key}={value}" for key, value in OWNER.items())
    kinds = (server.get(f"{CRDS}?labelSelector={selector}") or {}).get("items", ())
    return [*namespaces, *(f"{CRDS}/{kind['metadata']['name']}" for kind in kinds if leaving(kind))]


def configure(server: Server, rules: Sequence[Obj], progress: Progress) -> None:
    """Apply configuration, each kind before those that name it. While the API server does not reach Galley
    yet (its certificate is not known there), it is tried again.
    """
    progress(f"applying {len(rules)} rules of telemetry")
    with ThreadPoolExecutor(4) as pool:
        for _, group in groupby(rules, key=lambda obj: obj["kind"]):
            list(pool.map(partial(admitted, server), group))


def admitted(server: Server, obj: Obj) -> None:
    """Apply an object about which Galley is asked. Raises `InstallFailed` with its words."""
    deadline = time.monotonic() + GALLEY
    while True:
        try:
            server.apply(obj)
        except InstallFailed as error:
            if WEBHOOK not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY)
        else:
            return


def installed_profile(client: Any, namespace: str = "istio-system") -> str:
    """The profile that a cluster has; that of a new installation if there is none."""
    found = Server(client).get(f"/api/v1/namespaces/{namespace}") or {"metadata": {}}
    return str((found["metadata"].get("labels") or {}).get(LABEL, DEFAULT))


def uninstall(
    client: Any, objects: Sequence[Obj], *, progress: Progress = silent, timeout: float = 60.0
) -> None:
    """Delete what `install` applied, last first, and what Citadel made; what is not ours is passed over.

    A kind of configuration that has objects stays, with them: they are their owners', and would go with it.
    So does the namespace if it holds the operator's own authority (Secret `cacerts`).
    """
    server = Server(client)
    for obj in reversed(objects):
        if not ours(server.get(path_of(obj))):
            continue
        name = f"{obj['kind']} {obj['metadata']['name']}"
        if why := reason_to_stay(server, obj):
            progress(f"{name} stays: {why}")
            continue
        progress(f"deleting {name}")
        server.delete(path_of(obj))
    remove(server, other_processes(server, objects), progress, timeout)
    wait_until_gone(server, [obj for obj in objects if obj["kind"] == "Deployment"], timeout)
    for path in citadels(server, namespace_of(objects)):
        progress(f"deleting {path}")
        server.delete(path)


def other_processes(server: Server, objects: Sequence[Obj]) -> list[Obj]:
    """What `install` brought for components that have no process of their own among `objects`."""
    namespace, wanted = namespace_of(objects), {path_of(obj) for obj in objects}
    selector = ",".join(f"{key}={value}" for key, value in OWNER.items())
    found = []
    for kind, version in OF_A_PROCESS.items():
        any_of_them = {"apiVersion": version, "kind": kind, "metadata": {"namespace": namespace, "name": ""}}
        path = path_of(any_of_them).rstrip("/")
        items = (server.get(f"{path}?labelSelector={selector}") or {}).get("items", ())
        found += [{"apiVersion": version, "kind": kind, **item} for item in items]
    return [obj for obj in found if path_of(obj) not in wanted]


def remove(server: Server, objects: Sequence[Obj], progress: Progress, timeout: float) -> None:
    """Delete objects and wait until the Pods of Deployments among them are gone."""
    for obj in objects:
        progress(f"deleting {obj['kind']} {obj['metadata']['name']}")
        server.delete(path_of(obj))
    wait_until_gone(server, [obj for obj in objects if obj["kind"] == "Deployment"], timeout)


def reason_to_stay(server: Server, obj: Obj) -> str:
    """Why an object of the mesh may not be deleted; empty if it may."""
    if obj["kind"] == "CustomResourceDefinition" and in_use(server, obj):
        return "it has objects"
    if obj["kind"] == "Namespace" and server.get(f"{core(obj['metadata']['name'])}/secrets/{OPERATORS}"):
        return f"it holds Secret {OPERATORS}"
    return ""


def citadels(server: Server, namespace: str) -> Iterator[str]:
    """What Citadel made: the root and Secrets of accounts in every namespace, and its state in its own."""
    for query in (
        f"configmaps?fieldSelector=metadata.name={ROOT_MAP}&labelSelector={ROOT_LABEL}",
        f"secrets?fieldSelector=type={KEYS}",
    ):
        yield from listed(server, "/api/v1/", query)
    yield from listed(server, f"{core(namespace)}/", f"configmaps?labelSelector={LEDGER}")
    for part in STATE:
        if server.get(f"{core(namespace)}/{part}"):
            yield f"{core(namespace)}/{part}"


def listed(server: Server, root: str, query: str) -> Iterator[str]:
    """The paths of what a query finds."""
    for item in (server.get(root + query) or {}).get("items", ()):
        metadata = item["metadata"]
        yield f"{core(metadata['namespace'])}/{query.partition('?')[0]}/{metadata['name']}"


def core(namespace: str) -> str:
    """The path of a namespace's core objects."""
    return f"/api/v1/namespaces/{namespace}"


def namespace_of(objects: Sequence[Obj]) -> str:
    """The control plane's namespace."""
    own = (str(obj["metadata"]["name"]) for obj in objects if obj["kind"] == "Namespace")
    return next(own, "istio-system")


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
