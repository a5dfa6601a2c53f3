"""What injection adds to a Pod: two containers and their volumes. Pure functions of settings and wishes."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mesh.injector.annotations import Wishes
from mesh.injector.settings import Settings

READY_PORT = 15021
PROMETHEUS_PORT = 15090
STATUS_PORT = 15020
CAPABILITIES = ["NET_ADMIN", "NET_RAW"]

TOKEN_FOLDER = "/var/run/secrets/tokens"
ROOT_FOLDER = "/var/run/secrets/istio"
SOCKET_FOLDER = "/var/run/secrets/workload-spiffe-uds"
AUDIENCE = "istio-ca"
TOKEN_LIFETIME = 43200  # seconds, as Istio asks for
ROOT_MAP = "istio-ca-root-cert"

CERTIFICATES = "istio-certs"
CERTIFICATE_MOUNTS = ({"name": CERTIFICATES, "mountPath": "/etc/certs", "readOnly": True},)
"""The classic way: the Secret `istio.<account>`, which Citadel keeps."""

TOKEN_VOLUME: dict[str, Any] = {
    "name": "istio-token",
    "projected": {
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": AUDIENCE,
                    "expirationSeconds": TOKEN_LIFETIME,
                    "path": "istio-token",
                }
            }
        ]
    },
}
ROOT_VOLUME: dict[str, Any] = {"name": "istiod-ca-cert", "configMap": {"name": ROOT_MAP}}

VOLUMES: tuple[dict[str, Any], ...] = (
    {"name": "workload-socket", "emptyDir": {"medium": "Memory"}},
    TOKEN_VOLUME,
    ROOT_VOLUME,
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
    words = [word for flag, value in sorted(flags.items()) for word in (flag, value)]
    return {
        "name": "istio-init",
        "image": wishes.image or settings.image,
        "command": ["pilot-agent"],
        "args": ["istio-iptables", "-u", str(settings.proxy_uid), "-g", str(settings.proxy_uid), *words],
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
    settings: Settings,
    wishes: Wishes,
    workload: str,
    owner: str,
    *,
    kind: str = "sidecar",
    beside: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """`istio-proxy`: pilot-agent and the Envoy that it supervises, `beside` the Pod's own containers."""
    return {
        "name": "istio-proxy",
        "image": wishes.image or settings.image,
        "command": ["pilot-agent"],
        "args": arguments(settings, wishes, kind),
        "env": environment(settings, wishes, workload, owner, beside),
        "ports": [{"name": "http-envoy-prom", "containerPort": PROMETHEUS_PORT, "protocol": "TCP"}],
        "resources": resources(settings, wishes),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": settings.proxy_uid,
            "runAsNonRoot": True,
            "runAsUser": settings.proxy_uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "workload-socket", "mountPath": SOCKET_FOLDER},
            {"name": "istio-token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "istiod-ca-cert", "mountPath": ROOT_FOLDER, "readOnly": True},
            {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
            {"name": "istio-data", "mountPath": "/var/lib/istio/data"},
            {"name": "istio-podinfo", "mountPath": "/etc/istio/pod"},
            *(CERTIFICATE_MOUNTS if wishes.mounted_certificates else ()),
            *({"name": name, **mount} for name, mount in wishes.mounts.items()),
        ],
        **readiness(settings, wishes),
        **hold(wishes),
    }


def arguments(settings: Settings, wishes: Wishes, kind: str) -> list[str]:
    """pilot-agent's command line."""
    command = ["proxy", kind, "--proxyLogLevel", wishes.log_level or settings.log_level]
    if wishes.component_log_level:
        command += ["--proxyComponentLogLevel", wishes.component_log_level]
    return command


def readiness(settings: Settings, wishes: Wishes) -> dict[str, Any]:
    """The probe of the proxy: Envoy answers it, by way of the agent, once it is in use."""
    if not wishes.ready_probe:
        return {}
    timing = {
        "initialDelaySeconds": settings.ready_initial_delay,
        "periodSeconds": settings.ready_period,
        "timeoutSeconds": 3,
        "failureThreshold": settings.ready_failure_threshold,
    }
    path = {"path": "/healthz/ready", "port": READY_PORT}
    return {"readinessProbe": {"httpGet": path, **timing, **wishes.readiness}}


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


def volumes(wishes: Wishes, account: str = "default") -> list[dict[str, Any]]:
    """The volumes that a sidecar needs, and those that annotations add."""
    certificates = [{"name": CERTIFICATES, "secret": {"secretName": f"istio.{account}"}}]
    own = [*VOLUMES, *(certificates if wishes.mounted_certificates else ())]
    return [*copy.deepcopy(own), *({"name": name, **volume} for name, volume in wishes.volumes.items())]


def proxy_config(settings: Settings, wishes: Wishes) -> dict[str, Any]:
    """The Pod's ProxyConfig over the mesh's; of `proxyMetadata` each entry."""
    key, default, own = "proxyMetadata", settings.proxy_config, wishes.proxy_config
    return {**default, **own, key: {**default.get(key, {}), **own.get(key, {})}}


def status_port(settings: Settings, wishes: Wishes) -> int:
    """The agent's port."""
    return int(proxy_config(settings, wishes).get("statusPort") or STATUS_PORT)


def pod_ports(containers: Sequence[Mapping[str, Any]]) -> str:
    """The ports that the Pod's own containers declare, as Istio tells them to Pilot."""
    names = ("name", "containerPort", "protocol")
    return json.dumps(
        [
            {name: port[name] for name in names if name in port}
            for container in containers
            for port in container.get("ports") or ()
        ]
    )


def environment(
    settings: Settings, wishes: Wishes, workload: str, owner: str, beside: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The variables that `mesh.agent.environment` reads. Entries of `proxyMetadata` are variables too."""
    config = proxy_config(settings, wishes)
    own_metadata = config.pop("proxyMetadata")
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
        "HOST_IP": "status.hostIP",
        "ISTIO_META_NODE_NAME": "spec.nodeName",
    }
    values = {
        "TRUST_DOMAIN": settings.trust_domain,
        "PROXY_CONFIG": json.dumps(config, sort_keys=True),
        "ISTIO_META_POD_PORTS": pod_ports(beside),
        "ISTIO_META_APP_CONTAINERS": ",".join(str(container.get("name")) for container in beside),
        "ISTIO_META_CLUSTER_ID": settings.cluster_id,
        "ISTIO_META_MESH_ID": settings.mesh_id,
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "ISTIO_META_WORKLOAD_NAME": workload,
        "ISTIO_META_OWNER": owner,
        **{name: str(value) for name, value in own_metadata.items()},
    }
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        *({"name": name, "value": value} for name, value in values.items()),
    ]
