"""From Kubernetes' objects to the model. Pure functions; the rules are behaviours M1 to M3."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mesh.model import Instance, Labels, Locality, ObjectKey, Port, Protocol, Resolution, Service, Workload

Obj = Mapping[str, Any]
DOMAIN = "cluster.local"
EXPORT_TO = "networking.istio.io/exportTo"
LOCALITY_LABEL = "istio-locality"
SERVICE_NAME = "kubernetes.io/service-name"
_HASH = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5,10}$")


def hostname(name: str, namespace: str) -> str:
    """The host name of a Service."""
    return f"{name}.{namespace}.svc.{DOMAIN}"


def service(obj: Obj) -> Service | None:
    """A Service; None for an ExternalName, which is only another name for somewhere else."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return None
    name, namespace = metadata["name"], metadata["namespace"]
    addresses = tuple(a for a in spec.get("clusterIPs") or [spec.get("clusterIP")] if a and a != "None")
    exported = (metadata.get("annotations") or {}).get(EXPORT_TO, "")
    return Service(
        hostname=hostname(name, namespace),
        name=name,
        namespace=namespace,
        ports=tuple(map(service_port, spec.get("ports") or ())),
        addresses=addresses,
        resolution=Resolution.EDS if addresses else Resolution.PASSTHROUGH,
        labels=Labels(metadata.get("labels")),
        selector=Labels(spec.get("selector")),
        export_to=frozenset(part.strip() for part in exported.split(",") if part.strip()),
        origin=ObjectKey("Service", namespace, name),
    )


def service_port(port: Obj) -> Port:
    """A port, its protocol by `appProtocol` or name."""
    name = port.get("name") or ""
    protocol = Protocol.of_port(name, port.get("appProtocol") or "", port.get("protocol") or "TCP")
    return Port(port["port"], name, protocol)


def locality(node: Obj | None, labels: Mapping[str, str]) -> Locality:
    """Where a Pod runs: its own label `istio-locality`, or else its node's topology labels."""
    if labels.get(LOCALITY_LABEL):
        return Locality.parse(labels[LOCALITY_LABEL])
    topology = ((node or {}).get("metadata") or {}).get("labels") or {}
    return Locality(
        topology.get("topology.kubernetes.io/region", ""),
        topology.get("topology.kubernetes.io/zone", ""),
        topology.get("topology.istio.io/subzone", ""),
    )


def workload(pod: Obj, node: Obj | None) -> Workload | None:
    """A Pod that has an address of its own and has not ended; None otherwise."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    addresses = tuple(each["ip"] for each in status.get("podIPs") or ()) or (status.get("podIP") or "",)
    if not addresses[0] or spec.get("hostNetwork") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    labels = Labels(metadata.get("labels"))
    owner_kind, owner_name = owner(metadata)
    return Workload(
        name=metadata["name"],
        namespace=metadata["namespace"],
        addresses=addresses,
        labels=labels,
        service_account=spec.get("serviceAccountName") or "default",
        owner_kind=owner_kind,
        owner_name=owner_name,
        node=spec.get("nodeName") or "",
        locality=locality(node, labels),
        has_sidecar=any(c["name"] == "istio-proxy" for c in (*containers(spec),)),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()),
        origin=ObjectKey("Pod", metadata["namespace"], metadata["name"]),
    )


def containers(spec: Obj) -> Iterator[Obj]:
    """All containers of a Pod; a native sidecar stands among the init containers."""
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def owner(metadata: Obj) -> tuple[str, str]:
    """Kind and name of what manages a Pod; a Deployment is known by the hash in its ReplicaSet's name."""
    found = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if found is None:
        return "Pod", metadata["name"]
    kind, name = found["kind"], found["name"]
    suffix = (metadata.get("labels") or {}).get("pod-template-hash", "")
    if kind == "ReplicaSet" and (name.endswith(f"-{suffix}") if suffix else _HASH.search(name)):
        return "Deployment", name.rpartition("-")[0]
    return kind, name


def instances(
    of: Service, slices: Iterable[Obj], workloads: Mapping[str, Workload]
) -> dict[int, tuple[Instance, ...]]:
    """The instances of each port of a service, in order of address, from its EndpointSlices."""
    found: dict[int, dict[tuple[str, int], Instance]] = {port.number: {} for port in of.ports}
    numbers = {port.name: port.number for port in of.ports}
    for each in slices:
        for port in each.get("ports") or ():
            number = numbers.get(port.get("name") or "")
            if number is None or port.get("port") is None:
                continue
            for address, endpoint in endpoints(each):
                made = instance(of, number, address, port["port"], endpoint, workloads.get(address))
                found[number][address, port["port"]] = made
    return {number: tuple(by[key] for key in sorted(by)) for number, by in found.items()}


def endpoints(of_slice: Obj) -> Iterator[tuple[str, Obj]]:
    """The endpoints of a slice with their first address, which is the one that counts."""
    for endpoint in of_slice.get("endpoints") or ():
        if endpoint.get("addresses"):
            yield endpoint["addresses"][0], endpoint


def instance(
    of: Service, number: int, address: str, port: int, endpoint: Obj, at: Workload | None
) -> Instance:
    """One endpoint of one port. A condition that is not said counts as true, as the API has it."""
    ready = (endpoint.get("conditions") or {}).get("ready")
    return Instance(
        hostname=of.hostname,
        service_port=number,
        address=address,
        port=port,
        workload=at,
        labels=at.labels if at else Labels(),
        locality=at.locality if at else Locality(zone=endpoint.get("zone") or ""),
        service_account=at.service_account if at else "",
        healthy=ready is not False,
    )
