"""Waiting until Deployments run; if they do not, why."""

import time
from collections.abc import Callable, Iterator, Sequence

from mesh.install.server import InstallFailed, Obj, Server, path_of

POLL = 0.1


def wait_until_available(
    server: Server, deployments: Sequence[Obj], progress: Callable[[str], None], timeout: float
) -> None:
    """Wait until the Deployments' newest Pods are all available.

    Raises `InstallFailed` after `timeout` seconds, with what each Pod's containers wait for.
    """
    deadline = time.monotonic() + timeout
    waiting = {path_of(obj): obj for obj in deployments}
    while waiting:
        for path, obj in list(waiting.items()):
            if available(server.get(path)):
                progress(f"{obj['metadata']['name']} is ready")
                del waiting[path]
        if waiting and time.monotonic() > deadline:
            raise not_ready(server, list(waiting.values()), timeout)
        if waiting:
            time.sleep(POLL)


def wait_until_gone(server: Server, deployments: Sequence[Obj], timeout: float) -> None:
    """Wait until no Pod of the Deployments is left: Citadel repairs what is taken from it while it runs.

    Raises `InstallFailed` after `timeout` seconds, with the Pods that are left.
    """
    deadline = time.monotonic() + timeout
    while left := [name for obj in deployments for name in names(server, obj)]:
        if time.monotonic() > deadline:
            raise InstallFailed(
                f"still there after {timeout:g} s: {', '.join(left)}", "call 'meshctl uninstall' again"
            )
        time.sleep(POLL)


def wait_until_left(
    server: Server, paths: Sequence[str], progress: Callable[[str], None], timeout: float
) -> None:
    """Wait until none of the objects at `paths` is on its way out: what goes into such a one goes with it.

    Raises `InstallFailed` after `timeout` seconds, with the one that is still there.
    """
    deadline = time.monotonic() + timeout
    for path in paths:
        told = False
        while leaving(server.get(path)):
            if not told:
                progress(f"waiting until {path} of before is gone")
                told = True
            if time.monotonic() > deadline:
                raise InstallFailed(
                    f"{path} is still being deleted after {timeout:g} s",
                    f"see 'kubectl get --raw {path}': its status says what it waits for",
                )
            time.sleep(POLL)


def leaving(obj: Obj | None) -> bool:
    """Whether an object is there and being deleted."""
    return obj is not None and "deletionTimestamp" in obj["metadata"]


def available(deployment: Obj | None) -> bool:
    """Whether all replicas of the newest template are available."""
    if deployment is None:
        return False
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
    )


def not_ready(server: Server, deployments: Sequence[Obj], timeout: float) -> InstallFailed:
    """The error that names each Deployment with the reasons of its Pods."""
    lines = [
        f"{obj['metadata']['name']} ({'; '.join(reasons(server, obj)) or 'it has no Pods'})"
        for obj in deployments
    ]
    namespace = deployments[0]["metadata"]["namespace"]
    return InstallFailed(
        f"not ready after {timeout:g} s: {', '.join(lines)}", f"see 'kubectl -n {namespace} describe pods'"
    )


def reasons(server: Server, deployment: Obj) -> Iterator[str]:
    """Why the Deployment's Pods are not ready, a line each."""
    for pod in pods(server, deployment):
        for why in (*unscheduled(pod), *map(stuck, containers(pod))):
            if why:
                yield f"Pod {pod['metadata']['name']}: {why}"


def pods(server: Server, deployment: Obj) -> list[Obj]:
    """The Deployment's Pods."""
    labels = deployment["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    path = f"/api/v1/namespaces/{deployment['metadata']['namespace']}/pods?labelSelector={selector}"
    return list((server.get(path) or {}).get("items", ()))


def names(server: Server, deployment: Obj) -> list[str]:
    """The names of the Deployment's Pods."""
    return [f"Pod {pod['metadata']['name']}" for pod in pods(server, deployment)]


def containers(pod: Obj) -> list[Obj]:
    """The statuses of all containers."""
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def unscheduled(pod: Obj) -> Iterator[str]:
    """Why no node has taken the Pod."""
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"not scheduled: {condition.get('message', '')}"


def stuck(container: Obj) -> str:
    """What a container waits for, or how it ended; empty if it is well."""
    state = container.get("state", {})
    for phase in ("waiting", "terminated"):
        found = state.get(phase, {})
        reason = found.get("reason", "")
        if reason and reason not in {"PodInitializing", "ContainerCreating", "Completed"}:
            return f"container {container['name']}: {reason} {found.get('message', '')}".rstrip()
    if "running" in state and not container.get("ready"):
        return f"container {container['name']} runs but is not ready"
    return ""
