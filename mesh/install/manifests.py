"""The objects that `meshctl install` puts into a cluster: one template a component, and the CRDs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

import yaml

from mesh.injector import template as sidecar
from mesh.injector.settings import Settings
from mesh.install.images import MESH_IMAGE
from mesh.install.parts import (
    ANTI_AFFINITY,
    READY,
    RESTRICTED,
    galley_ports,
    gateway_container,
    pilot_process,
    ports,
    rolling,
)
from mesh.install.profiles import PROFILES, Profile, UnknownProfile, profile_of
from mesh.install.server import MUTATING, VALIDATING, Obj

__all__ = ["PROFILES", "UnknownProfile", "Values", "render"]

COMPONENTS = ("base", "citadel", "galley", "pilot", "injector")
GATEWAYS = {"ingressgateway": "LoadBalancer", "egressgateway": "ClusterIP"}
"""The gateways, each with the type of its Service."""
MIXERS = {
    "istio-policy": {"grpc-policy": 15004, "http-monitoring": 15014},
    "istio-telemetry": {
        "grpc-telemetry": 15004, "http-monitoring": 15014, "http-prometheus": 42422, "http-traces": 9411
    },
}  # fmt: skip
"""The parts of Mixer, with the ports that they serve."""
OWNER = {"app.kubernetes.io/managed-by": "meshctl", "app.kubernetes.io/part-of": "istio"}


@dataclass(frozen=True, slots=True)
class Values:
    """What an installation may choose. `access_log` is a file such as /dev/stdout; empty writes none."""

    namespace: str = "istio-system"
    image: str = MESH_IMAGE
    access_log: str = "/dev/stdout"
    trust_domain: str = "cluster.local"
    injector: Settings = field(default_factory=Settings)


def render(profile: str = "compact", values: Values | None = None) -> list[Obj]:
    """All objects, in an order in which they can be created. Raises `UnknownProfile`."""
    chosen, values = profile_of(profile), values or Values()
    objects = [*crds(), *control_plane(chosen, values), *mixers(chosen, values), *gateways(values)]
    for obj in objects:
        obj["metadata"].setdefault("labels", {}).update(OWNER)
    return sorted(objects, key=lambda obj: ORDER.get(obj["kind"], len(ORDER)))


ORDER = {
    kind: number
    for number, kind in enumerate(
        ("Namespace", "CustomResourceDefinition", "PriorityClass", "ServiceAccount", "ClusterRole",
         "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "PodDisruptionBudget",
         "Deployment", MUTATING, VALIDATING)
    )
}  # fmt: skip


def crds() -> list[Obj]:
    """The kinds of configuration, generated from `mesh.api`."""
    from mesh.api.crds import crds as generate

    return list(generate())


def control_plane(profile: Profile, values: Values) -> Iterator[Obj]:
    """The objects of the components, as a profile runs them."""
    for name in COMPONENTS:
        for obj in filled(name, variables(profile, values) | {"runs_as": profile.account(name)}):
            if profile.needs(name, obj["kind"]):
                yield obj


def mixers(profile: Profile, values: Values) -> Iterator[Obj]:
    """The objects of istio-policy and istio-telemetry. They are on the data path, so each is a process of
    its own in every profile: what loads them does not slow the control plane.
    """
    common = variables(profile, values)
    for component, served in MIXERS.items():
        own = {
            "component": component,
            "mixer_type": component.removeprefix("istio-"),
            "service_ports": json.dumps([{"name": name, "port": port} for name, port in served.items()]),
            "container_ports": json.dumps(ports(served)),
            "strategy": json.dumps(rolling(surge=1)),
        }
        yield from filled("mixer", common | own)
    yield from filled("zipkin", common)


def gateways(values: Values) -> Iterator[Obj]:
    """The objects of the gateways: ingress and egress differ by name and type of Service only."""
    common = shared(values)
    for role, service_type in GATEWAYS.items():
        container = gateway_container(f"istio-{role}", values.namespace, values.image, values.trust_domain)
        own = {
            "gateway": f"istio-{role}",
            "role": role,
            "service_type": service_type,
            "gateway_container": json.dumps(container),
        }
        yield from filled("gateway", common | own)


def filled(name: str, variables: Mapping[str, str]) -> Iterator[Obj]:
    """The objects of one template."""
    text = (files("mesh.install") / "templates" / f"{name}.yaml").read_text()
    for obj in yaml.safe_load_all(Template(text).substitute(variables)):
        # Anchors of the template are shared values in Python; nobody may see one change through another.
        yield json.loads(json.dumps(obj))


def shared(values: Values) -> dict[str, str]:
    """What every template may name. Values that are structures are written as JSON, which is YAML too."""
    return {
        "namespace": values.namespace,
        "image": values.image,
        "access_log": values.access_log,
        "trust_domain": values.trust_domain,
        "anti_affinity": json.dumps(ANTI_AFFINITY),
        "restricted": json.dumps(RESTRICTED),
        "ready": json.dumps(READY),
        "gateway_volumes": json.dumps(list(sidecar.VOLUMES)),
    }


def variables(profile: Profile, values: Values) -> dict[str, str]:
    """What the control plane's templates may name beside that."""
    process = pilot_process(profile, values.namespace, values.trust_domain)
    return {
        **shared(values),
        "profile": profile.name,
        "citadel": f"istio-citadel.{values.namespace}.svc:8060",
        "injector_values": json.dumps({"image": values.image, "trust_domain": values.trust_domain}),
        "galley_ports": json.dumps(galley_ports()),
        "token_volume": json.dumps(sidecar.TOKEN_VOLUME),
        "root_volume": json.dumps(sidecar.ROOT_VOLUME),
        **{name: json.dumps(value) for name, value in process.items()},
    }
