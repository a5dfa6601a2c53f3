"""Parts of the manifests that are the same in several places, or follow from the profile."""

from typing import Any

from mesh.injector import template as sidecar
from mesh.injector.annotations import Wishes
from mesh.injector.settings import Settings
from mesh.install.profiles import Profile

Obj = dict[str, Any]

RESTRICTED: Obj = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsGroup": 1337,
    "runAsNonRoot": True,
    "runAsUser": 1337,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""As Kubernetes' standard for Pods asks, level `restricted`."""
ANTI_AFFINITY: Obj = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchExpressions": [{"key": "istio", "operator": "Exists"}]},
                },
            }
        ]
    }
}
READY: Obj = {
    "httpGet": {"path": "/ready", "port": 15014},
    "periodSeconds": 1,
    "timeoutSeconds": 5,
    "failureThreshold": 30,
}
Mounted = tuple[str, str, Obj]
"""A volume: its name, where it is mounted, what it is."""

CONFIG: Mounted = ("config", "/etc/istio/config", {"configMap": {"name": "istio"}})
INJECT: Mounted = ("inject", "/etc/istio/inject", {"configMap": {"name": "istio-sidecar-injector"}})
TMP: Mounted = ("tmp", "/tmp", {"emptyDir": {}})
PORTS = {"grpc-xds": 15012, "http-monitoring": 15014}
ALL_PORTS = {
    **PORTS, "grpc-token": 8060, "grpc-mutual": 8061, "https-webhooks": 9443, "grpc-config": 9901
}  # fmt: skip


def pilot_process(profile: Profile, namespace: str, trust_domain: str) -> Obj:
    """Pilot's container: all of the control plane, or a Pilot that asks Galley and Citadel."""
    if profile.together:
        return {
            "pilot_program": "istiod",
            "pilot_arguments": ["--namespace", namespace],
            # Two authorities that write at once would each publish a trust of its own.
            "pilot_strategy": rolling(surge=0),
            "pilot_ports": ports(ALL_PORTS),
            **mounted(CONFIG, INJECT, TMP),
        }
    arguments = ["discovery", "--mesh-config", "/etc/istio/config/mesh", "--namespace", namespace]
    arguments += ["--config-address", f"istio-galley.{namespace}.svc:9901"]
    arguments += ["--ca-address", f"istio-citadel.{namespace}.svc:8060", "--trust-domain", trust_domain]
    token = ("istio-token", sidecar.TOKEN_FOLDER, sidecar.TOKEN_VOLUME)
    root = ("istiod-ca-cert", sidecar.ROOT_FOLDER, sidecar.ROOT_VOLUME)
    return {
        "pilot_program": "pilot-discovery",
        "pilot_arguments": arguments,
        "pilot_strategy": rolling(surge=1),
        "pilot_ports": ports(PORTS),
        **mounted(CONFIG, TMP, token, root),
    }


def rolling(*, surge: int) -> Obj:
    """A new Pod beside the old one, or in its place. Never `Recreate`: profiles could not be exchanged, for
    Kubernetes keeps the other strategy's fields.
    """
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge}}


def galley_ports() -> list[Obj]:
    """What Galley's Service offers."""
    validation = {"name": "https-validate", "port": 443, "targetPort": 9443}
    return [validation, {"name": "grpc-config", "port": 9901}]


def ports(named: dict[str, int]) -> list[Obj]:
    """A container's ports."""
    return [{"name": name, "containerPort": number} for name, number in named.items()]


def mounted(*parts: Mounted) -> Obj:
    """Volumes, and where they are mounted; only scratch space can be written to."""
    return {
        "pilot_volumes": [{"name": name, **volume} for name, _, volume in parts],
        "pilot_mounts": [
            {"name": name, "mountPath": path, **({} if name == "tmp" else {"readOnly": True})}
            for name, path, _ in parts
        ],
    }


def gateway_container(name: str, namespace: str, image: str, trust_domain: str) -> Obj:
    """A gateway runs the same agent and Envoy as a sidecar, as a `router`."""
    proxy_config = {"discoveryAddress": f"istio-pilot.{namespace}.svc:15012", "concurrency": 1}
    settings = Settings(image=image, proxy_config=proxy_config, trust_domain=trust_domain)
    owner = f"kubernetes://apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    container = sidecar.proxy_container(settings, Wishes(), name, owner, kind="router")
    further = [(15021, "status-port"), (8080, "http2"), (8443, "https")]
    container["ports"] += [
        {"containerPort": number, "name": port, "protocol": "TCP"} for number, port in further
    ]
    return container
