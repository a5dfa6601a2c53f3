"""Locust inside the cluster: the objects of a Kubernetes Job that runs a Locust file in a Pod of the mesh."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Obj = dict[str, Any]

FOLDER = "/load"
MASTER_PORT = 5557
"""Where Locust's workers find their master."""
PATIENCE = 300
"""Seconds beside the run's own after which a Job is given up: masters and workers wait for each other."""
HOLD = "holdApplicationUntilProxyStarts: true"
RUN = Path(__file__).parent / "inside" / "run.py"


@dataclass(frozen=True, slots=True)
class Load:
    """What the Job is to do. `arguments` are Locust's own. `workers` Pods ask; if 0, the one Pod does."""

    name: str
    namespace: str
    image: str
    locustfile: Path
    host: str
    users: int
    spawn_rate: float
    seconds: int
    workers: int = 0
    arguments: Sequence[str] = ()


def objects(load: Load) -> list[Obj]:
    """The Locust file as a ConfigMap, and the Job; with workers also their Job, and the master's Service."""
    made = [files(load), job(load, load.name, 1, [*locust(load), *headless(load)])]
    if load.workers:
        host = f"{load.name}-master"
        made.append(service(load, host))
        made.append(
            job(
                load, f"{load.name}-workers", load.workers, [*locust(load), "--worker", "--master-host", host]
            )
        )
    return made


def locust(load: Load) -> list[str]:
    """The command that both kinds of Pods begin with."""
    return ["python3", f"{FOLDER}/run.py", "locust", "-f", f"{FOLDER}/{load.locustfile.name}"]


def headless(load: Load) -> list[str]:
    """What the Pod does that decides: the only one, or the workers' master."""
    master = ["--master", f"--expect-workers={load.workers}"] if load.workers else []
    return [
        "--headless",
        "--host",
        load.host,
        f"--users={load.users}",
        f"--spawn-rate={load.spawn_rate:g}",
        f"--run-time={load.seconds}s",
        "--only-summary",
        *master,
        *load.arguments,
    ]


def files(load: Load) -> Obj:
    """What the Pods find in their folder."""
    data = {load.locustfile.name: load.locustfile.read_text(), RUN.name: RUN.read_text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(load, load.name), "data": data}


def metadata(load: Load, name: str) -> Obj:
    """Of each object; all carry the label `load`, by which they are found and deleted together."""
    return {"name": name, "namespace": load.namespace, "labels": {"load": load.name}}


def job(load: Load, name: str, pods: int, command: Sequence[str]) -> Obj:
    """Pods that each are to end well, once: a load test that failed is not repeated by itself."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(load, name),
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "backoffLimit": 0,
            "activeDeadlineSeconds": load.seconds + PATIENCE,
            "ttlSecondsAfterFinished": 3600,
            "template": {
                "metadata": {
                    "labels": {"app": name, "load": load.name, "sidecar.istio.io/inject": "true"},
                    # Its first request would otherwise go out before there is a proxy to take it.
                    "annotations": {"proxy.istio.io/config": HOLD},
                },
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [container(load, command)],
                    "volumes": [{"name": "files", "configMap": {"name": load.name}}],
                },
            },
        },
    }


def container(load: Load, command: Sequence[str]) -> Obj:
    """Locust's. `command` and not `args`: the image's own entry point is the demo's."""
    return {
        "name": "locust",
        "image": load.image,
        "command": list(command),
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}, {"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "files", "mountPath": FOLDER, "readOnly": True}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def service(load: Load, name: str) -> Obj:
    """Leads the workers to their master, ready or not: it is ready only when they are there."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(load, name),
        "spec": {
            "selector": {"app": load.name},
            "publishNotReadyAddresses": True,
            "ports": [{"name": "tcp-locust", "port": MASTER_PORT, "targetPort": MASTER_PORT}],
        },
    }
