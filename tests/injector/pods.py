"""Pods to inject, and the schemas of Kubernetes to judge the result by."""

import copy
import subprocess
import sys
from typing import Any

from mesh.injector.inject import inject
from mesh.injector.settings import Settings

Obj = dict[str, Any]
LABELLED = {"istio-injection": "enabled"}
FRONTEND: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "generateName": "frontend-v1-5d7c8f9b6d-",
        "labels": {"app": "frontend", "version": "v1", "pod-template-hash": "5d7c8f9b6d"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "frontend-v1-5d7c8f9b6d",
                "uid": "u",
                "controller": True,
            }
        ],
    },
    "spec": {
        "serviceAccountName": "frontend",
        "containers": [
            {
                "name": "frontend",
                "image": "meshwright/weather:0.1.0",
                "ports": [{"name": "http", "containerPort": 3000}],
            }
        ],
    },
}


def pod(*, labels: Obj | None = None, annotations: Obj | None = None, **spec: Any) -> Obj:
    """The frontend's Pod with more labels, annotations and fields of its spec."""
    made = copy.deepcopy(FRONTEND)
    made["metadata"]["labels"] |= labels or {}
    if annotations:
        made["metadata"]["annotations"] = annotations
    made["spec"] |= spec
    return made


def injected(given: Obj, settings: Settings | None = None, **namespace_labels: str) -> Obj:
    """The Pod in a labelled namespace after injection."""
    labels = namespace_labels or LABELLED
    return inject(given, settings or Settings(), namespace="weather", namespace_labels=labels)[0]


def container(given: Obj, name: str = "istio-proxy") -> Obj:
    every = [*given["spec"].get("initContainers", ()), *given["spec"]["containers"]]
    return next(each for each in every if each["name"] == name)


def environment(given: Obj) -> dict[str, Any]:
    """The proxy's variables that have a plain value."""
    return {each["name"]: each["value"] for each in container(given)["env"] if "value" in each}


def flags(given: Obj) -> dict[str, str]:
    """The options of `istio-iptables`."""
    words = container(given, "istio-init")["args"][1:]
    return dict(zip(words[::2], words[1::2], strict=True))


CHECK = """
import json, sys, kubernetes_validate
for obj in json.load(sys.stdin):
    kubernetes_validate.validate(obj, sys.argv[1], strict=True)
"""


def check_schema(*objects: Obj, version: str = "1.32") -> None:
    """Fail unless Kubernetes' own schemas accept the objects. In a process of its own: the library warns."""
    import json

    done = subprocess.run(
        [sys.executable, "-c", CHECK, version],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
