"""Injection itself: a Pod in, the Pod with its sidecar out. Pure; what goes in is never changed."""

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mesh.injector import annotations, probes, template
from mesh.injector.decide import STATUS, Decision, Question, decide
from mesh.injector.settings import Settings

TLS_MODE = "security.istio.io/tlsMode"
"""The label by which callers' proxies know that a Pod takes mutual TLS."""

# So that `kubectl logs` and `exec` mean the application and not its sidecar.
DEFAULT_CONTAINER = tuple(f"kubectl.kubernetes.io/default-{what}" for what in ("container", "logs-container"))
_HASH = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5,10}$")


def inject(
    pod: Mapping[str, Any],
    settings: Settings,
    *,
    namespace: str,
    namespace_labels: Mapping[str, str],
    workload: tuple[str, str] | None = None,
) -> tuple[dict[str, Any], Decision]:
    """Decide, and add the sidecar if the decision is for it.

    `pod` holds `metadata` and `spec`, as a Pod or a Pod template does. `workload` is its name and its owner's
    path, where the Pod itself does not tell (a template in a file). Raises `AnnotationProblem`.
    """
    result = copy.deepcopy(dict(pod))
    decision = decide(Question(pod, namespace, namespace_labels, settings))
    if decision.inject:
        add_sidecar(result, settings, workload or workload_of(result.get("metadata") or {}, namespace))
    return result, decision


def add_sidecar(pod: dict[str, Any], settings: Settings, workload: tuple[str, str]) -> None:
    """Add containers, volumes and the status annotation to a Pod that is ours to change."""
    metadata, spec = grown(pod, "metadata", {}), pod["spec"]
    given = grown(metadata, "annotations", {})
    wishes = annotations.read(given, settings.proxy_config)
    own = spec["containers"]
    init = template.init_container(settings, wishes)
    proxy = template.proxy_container(settings, wishes, *workload, beside=own)
    if wishes.rewrite_probes:
        port = template.status_port(settings, wishes)
        proxy["env"] += probes.variable(probes.rewrite([*own, *restarting(spec)], port))
    volumes = template.volumes(wishes, spec.get("serviceAccountName") or "default")
    given |= {name: own[0].get("name", "") for name in DEFAULT_CONTAINER if name not in given}
    given[STATUS] = status(init, proxy, volumes)
    labels = grown(metadata, "labels", {})
    labels |= {TLS_MODE: "istio"} | canonical(labels, workload[0]) | labels
    grown(spec, "initContainers", []).append(init)
    # First, if the application must wait for it: the kubelet starts containers in order.
    own.insert(0 if wishes.hold_application else len(own), proxy)
    present = {volume["name"] for volume in grown(spec, "volumes", [])}
    spec["volumes"] += [volume for volume in volumes if volume["name"] not in present]


def restarting(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Init containers that run beside the others, and so have probes."""
    return [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]


def grown(holder: dict[str, Any], key: str, empty: Any) -> Any:
    """The value at `key`, made if it is missing or null."""
    holder[key] = holder.get(key) or empty
    return holder[key]


def canonical(labels: Mapping[str, str], workload: str) -> dict[str, str]:
    """Name and version under which telemetry knows a workload whatever its labels are called."""
    name = labels.get("app.kubernetes.io/name") or labels.get("app") or workload
    version = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    return {
        "service.istio.io/canonical-name": name[:63].rstrip("-."),
        "service.istio.io/canonical-revision": version,
    }


def status(init: Mapping[str, Any], proxy: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]]) -> str:
    """The status annotation: what was added, and a digest that tells versions of the template apart."""
    digest = hashlib.sha256(json.dumps([init, proxy], sort_keys=True).encode()).hexdigest()
    return json.dumps(
        {
            "version": digest[:16],
            "initContainers": [init["name"]],
            "containers": [proxy["name"]],
            "volumes": [volume["name"] for volume in volumes],
        }
    )


def workload_of(metadata: Mapping[str, Any], namespace: str) -> tuple[str, str]:
    """The workload's name and its owner's path (`kubernetes://apis/apps/v1/...`), as Istio writes it.

    A ReplicaSet made by a Deployment is known by the `pod-template-hash` in its name.
    """
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        name = metadata.get("name") or (metadata.get("generateName") or "").rstrip("-")
        return name, f"kubernetes://apis/v1/namespaces/{namespace}/pods/{name}"
    kind, version, name = owner["kind"], owner["apiVersion"], owner["name"]
    suffix = (metadata.get("labels") or {}).get("pod-template-hash", "")
    if kind == "ReplicaSet" and (name.endswith(f"-{suffix}") if suffix else _HASH.search(name)):
        kind, name = "Deployment", name.rpartition("-")[0]
    return name, f"kubernetes://apis/{version}/namespaces/{namespace}/{kind.lower()}s/{name}"
