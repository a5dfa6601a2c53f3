"""What injection adds to a Pod: two containers, three volumes. Pure functions of settings and wishes."""

import json
from typing import Any

from mesh.injector.annotations import Wishes
from mesh.injector.settings import Settings

READY_PORT = 15021
PROMETHEUS_PORT = 15090
CAPABILITIES = ["NET_ADMIN", "NET_RAW"]

VOLUMES: tuple[dict[str, Any], ...] = (
    {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
    {"name": "istio-data", "emptyDir": {}},
    {
        "name": "istio-podinfo",
        "downwardAPI": {
            "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
            ]
        },
    },
)


def init_container(settings: Settings, wishes: Wishes) -> dict[str, Any]:
    """`istio-init`: writes the interception rules, then is gone. The only one with NET_ADMIN."""
    flags = {"-b": "*", "-i": "*"} | wishes.interception
    arguments = [word for flag, value in sorted(flags.items()) for word in (flag, value)]
    return {
        "name": "istio-init",
        "image": wishes.image or settings.image,
        "command": ["pilot-agent"],
        "args": ["istio-iptables", "-u", str(settings.proxy_uid), "-g", str(settings.proxy_uid), *arguments],
        "resources": resources(settings, wishes),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": CAPABILITIES, "drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": False,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "runAsUser": 0,
        },
    }


def proxy_container(
    settings: Settings, wishes: Wishes, workload: str, owner: str, kind: str = "sidecar"
) -> dict[str, Any]:
    """`istio-proxy`: pilot-agent and the Envoy that it supervises."""
    return {
        "name": "istio-proxy",
        "image": wishes.image or settings.image,
        "command": ["pilot-agent"],
        "args": ["proxy", kind, "--proxyLogLevel", wishes.log_level or settings.log_level],
        "env": environment(settings, wishes, workload, owner),
        "ports": [{"name": "http-envoy-prom", "containerPort": PROMETHEUS_PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": READY_PORT},
            "initialDelaySeconds": settings.ready_initial_delay,
            "periodSeconds": settings.ready_period,
            "timeoutSeconds": 3,
            "failureThreshold": settings.ready_failure_threshold,
        },
        "resources": resources(settings, wishes),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": settings.proxy_uid,
            "runAsNonRoot": True,
            "runAsUser": settings.proxy_uid,
        },
        "volumeMounts": [
            {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
            {"name": "istio-data", "mountPath": "/var/lib/istio/data"},
            {"name": "istio-podinfo", "mountPath": "/etc/istio/pod"},
        ],
    } | hold(wishes)


def hold(wishes: Wishes) -> dict[str, Any]:
    """A hook that keeps the containers after this one waiting until the proxy is ready."""
    if not wishes.hold_application:
        return {}
    return {"lifecycle": {"postStart": {"exec": {"command": ["pilot-agent", "wait"]}}}}


def resources(settings: Settings, wishes: Wishes) -> dict[str, Any]:
    """Requests and limits: the Pod's wishes over the settings."""
    return {
        "requests": settings.requests | wishes.resources.get("requests", {}),
        "limits": settings.limits | wishes.resources.get("limits", {}),
    }


def environment(settings: Settings, wishes: Wishes, workload: str, owner: str) -> list[dict[str, Any]]:
    """The variables that `mesh.agent.environment` reads."""
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
        "HOST_IP": "status.hostIP",
        "ISTIO_META_NODE_NAME": "spec.nodeName",
    }
    values = {
        "PROXY_CONFIG": json.dumps(settings.proxy_config | wishes.proxy_config, sort_keys=True),
        "ISTIO_META_CLUSTER_ID": settings.cluster_id,
        "ISTIO_META_MESH_ID": settings.mesh_id,
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "ISTIO_META_WORKLOAD_NAME": workload,
        "ISTIO_META_OWNER": owner,
    }
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        *({"name": name, "value": value} for name, value in values.items()),
    ]
