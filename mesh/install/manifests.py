"""The objects that `meshctl install` puts into a cluster: templates, certificates, CRDs."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

import yaml

from mesh.injector import template as sidecar
from mesh.injector.annotations import Wishes
from mesh.injector.settings import Settings
from mesh.install.certificates import ServingCertificate
from mesh.install.images import MESH_IMAGE
from mesh.install.server import WEBHOOK, Obj

COMPONENTS = ("base", "pilot", "injector", "ingressgateway")
PROFILES = ("compact",)
OWNER = {"app.kubernetes.io/managed-by": "meshctl", "app.kubernetes.io/part-of": "istio"}
RESTRICTED: Obj = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsGroup": 1337,
    "runAsNonRoot": True,
    "runAsUser": 1337,
}


class UnknownProfile(Exception):
    """There is no such profile."""

    def __init__(self, profile: str) -> None:
        super().__init__(f"there is no profile {profile!r}")
        self.remedy = f"use one of: {', '.join(PROFILES)}"


@dataclass(frozen=True, slots=True)
class Values:
    """What an installation may choose. `access_log` is a file such as /dev/stdout; empty writes none."""

    namespace: str = "istio-system"
    image: str = MESH_IMAGE
    access_log: str = "/dev/stdout"
    injector: Settings = field(default_factory=Settings)


def render(
    profile: str = "compact", values: Values | None = None, *, certificate: ServingCertificate | None = None
) -> list[Obj]:
    """All objects, in an order in which they can be created.

    `certificate` is the injector's, to be kept from an earlier installation; a new one is made without it.
    """
    if profile not in PROFILES:
        raise UnknownProfile(profile)
    values = values or Values()
    objects = [
        *crds(),
        *(obj for name in COMPONENTS for obj in component(name, values)),
    ]
    for obj in objects:
        obj["metadata"].setdefault("labels", {}).update(OWNER)
    return sorted(objects, key=lambda obj: ORDER.get(obj["kind"], len(ORDER)))


ORDER = {
    kind: number
    for number, kind in enumerate(
        ("Namespace", "CustomResourceDefinition", "PriorityClass", "ServiceAccount", "ClusterRole",
         "ClusterRoleBinding", "ConfigMap", "Secret", "Service", "PodDisruptionBudget", "Deployment", WEBHOOK)
    )
}  # fmt: skip


def crds() -> list[Obj]:
    """The kinds of configuration, generated from `mesh.api`."""
    from mesh.api.crds import crds as generate

    return list(generate())


def component(name: str, values: Values) -> Iterator[Obj]:
    """The objects of one component."""
    text = (files("mesh.install") / "templates" / f"{name}.yaml").read_text()
    filled = Template(text).substitute(variables(values))
    for obj in yaml.safe_load_all(filled):
        # Anchors of the template are shared values in Python; nobody may see one change through another.
        yield json.loads(json.dumps(obj))


def variables(values: Values) -> dict[str, str]:
    """What the templates may name. Values that are structures are written as JSON, which is YAML too."""
    proxy_config = {"discoveryAddress": f"istio-pilot.{values.namespace}.svc:15012", "concurrency": 1}
    injector = {"image": values.image}
    return {
        "namespace": values.namespace,
        "image": values.image,
        "access_log": values.access_log,
        "anti_affinity": json.dumps(ANTI_AFFINITY),
        "restricted": json.dumps(RESTRICTED),
        "injector_values": json.dumps(injector),
        "gateway_container": json.dumps(gateway_container(values, proxy_config)),
        "gateway_volumes": json.dumps(list(sidecar.VOLUMES)),
    }


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


def gateway_container(values: Values, proxy_config: Obj) -> Obj:
    """A gateway runs the same agent and Envoy as a sidecar, as a `router`."""
    settings = Settings(image=values.image, proxy_config=proxy_config)
    name, owner = (
        "istio-ingressgateway",
        f"kubernetes://apis/apps/v1/namespaces/{values.namespace}/deployments",
    )
    container = sidecar.proxy_container(settings, Wishes(), name, f"{owner}/{name}", kind="router")
    ports = [(15021, "status-port"), (8080, "http2"), (8443, "https")]
    container["ports"] += [
        {"containerPort": number, "name": port, "protocol": "TCP"} for number, port in ports
    ]
    return container


def secret(values: Values, certificate: ServingCertificate) -> Obj:
    """The injector's certificate and key."""
    parts = {
        "cert-chain.pem": certificate.certificate,
        "key.pem": certificate.key,
        "root-cert.pem": certificate.root,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "istio-sidecar-injector-certs", "namespace": values.namespace},
        "type": "Opaque",
        "data": {name: base64.b64encode(pem).decode() for name, pem in parts.items()},
    }


def trust(configuration: Obj, certificate: ServingCertificate) -> None:
    """Tell the API server whom to trust when it calls the webhook."""
    for webhook in configuration["webhooks"]:
        webhook["clientConfig"]["caBundle"] = base64.b64encode(certificate.root).decode()
