"""Endpoints: the healthy instances of a service port or subset, by locality.

An unready instance gets no traffic. Localities become priorities (the caller's own first) only where outlier
detection is on, or the caller's locality has a distribution of its own; this is Istio's rule: without
ejection Envoy could not know when to go elsewhere.
"""

from collections.abc import Mapping, Set
from itertools import groupby

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from mesh.model import Instance, Locality, ObjectKey, Resolution
from mesh.pilot.compile.destination import Settings, locality_setting, merged
from mesh.pilot.compile.localities import distributed, priorities
from mesh.pilot.compile.messages import resource, socket_address, wire
from mesh.pilot.compile.metadata import metadata
from mesh.pilot.compile.names import ClusterName
from mesh.pilot.compile.parts import parted
from mesh.pilot.compile.peers import takes_mtls
from mesh.pilot.compile.transport import mark_endpoint
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Client, origins
from mesh.pilot.types import EDS, Resource
from mesh.pilot.visibility import destination_rules, sees


def endpoints(
    read: Reader, client: Client, locality: Locality, wanted: frozenset[str]
) -> Mapping[str, Resource]:
    """The endpoints of the clusters that a client asks for by name."""
    parts = (read.ask(some_endpoints, client, locality, part) for part in read.ask(parted, wanted))
    return {name: each for part in parts for name, each in part.items()}


def some_endpoints(
    read: Reader, client: Client, locality: Locality, names: tuple[str, ...]
) -> Mapping[str, Resource]:
    """The endpoints of some clusters."""
    found = ((name, read.ask(endpoints_of, client, locality, name)) for name in names)
    return {name: each for name, each in found if each is not None}


def endpoints_of(read: Reader, client: Client, locality: Locality, name: str) -> Resource | None:
    """The endpoints of one cluster; None if the client has no such cluster with endpoints from Pilot."""
    cluster = ClusterName.parse(name)
    if cluster is None or not sees(read, client.namespace, cluster.hostname):
        return None
    rules = read.ask(destination_rules, client, cluster.hostname)
    place = locality if place_matters(read, cluster, rules) else Locality()
    return read.ask(assignment, cluster, rules, place)


def place_matters(read: Reader, cluster: ClusterName, rules: tuple[ObjectKey, ...]) -> bool:
    """Whether the endpoints are different for callers elsewhere."""
    settings = read.ask(merged, rules).settings(cluster.port, cluster.subset)
    setting = locality_setting(read, settings)
    return setting is not None and (settings.outlier_detection is not None or bool(setting.distribute))


def assignment(
    read: Reader, cluster: ClusterName, rules: tuple[ObjectKey, ...], place: Locality
) -> Resource | None:
    """A cluster's endpoints as seen from a place; an unknown place sees all of them alike."""
    service = read.service(cluster.hostname)
    if service is None or service.resolution is not Resolution.EDS or service.port(cluster.port) is None:
        return None
    destination = read.ask(merged, rules)
    subset = destination.subset(cluster.subset) if cluster.subset else None
    if cluster.subset and subset is None:
        return None
    instances = [
        each
        for each in read.instances(cluster.hostname, cluster.port)
        if each.healthy and (subset is None or each.labels.matches(subset.labels))
    ]
    result = endpoint_pb2.ClusterLoadAssignment(
        cluster_name=str(cluster), endpoints=by_locality(read, instances, service.namespace)
    )
    if place != Locality():
        prefer(read, result, place, destination.settings(cluster.port, cluster.subset))
    return resource(EDS, str(cluster), wire(result), origins=origins(read, cluster.hostname))


def prefer(
    read: Reader, result: endpoint_pb2.ClusterLoadAssignment, here: Locality, settings: Settings
) -> None:
    """Give the places of a service weights or priorities as seen from a caller's."""
    setting = locality_setting(read, settings)
    if setting is None:
        return
    groups = list(result.endpoints)
    places = [_locality(each.locality) for each in groups]
    sizes = [each.load_balancing_weight.value for each in groups]
    weights = distributed(here, setting.distribute, places, sizes)
    if weights is not None:
        _weigh(result, weights)
    elif settings.outlier_detection is not None:
        for each, priority in zip(groups, priorities(here, setting, places), strict=True):
            each.priority = priority


def _weigh(result: endpoint_pb2.ClusterLoadAssignment, weights: list[int]) -> None:
    for index in reversed(range(len(weights))):
        if weights[index]:
            result.endpoints[index].load_balancing_weight.value = weights[index]
        else:
            del result.endpoints[index]


def by_locality(
    read: Reader, instances: list[Instance], namespace: str
) -> list[endpoint_components_pb2.LocalityLbEndpoints]:
    """Instances grouped by place, everything in order, so that equal content has equal bytes."""
    secure = {(e.address, e.port) for e in instances if takes_mtls(read, e, namespace)}
    ordered = sorted(instances, key=lambda each: (each.locality, each.address, each.port))
    return [
        _group(place, list(group), secure)
        for place, group in groupby(ordered, key=lambda each: each.locality)
    ]


def _group(
    place: Locality, instances: list[Instance], secure: Set[tuple[str, int]]
) -> endpoint_components_pb2.LocalityLbEndpoints:
    group = endpoint_components_pb2.LocalityLbEndpoints(
        lb_endpoints=[_endpoint(each, (each.address, each.port) in secure) for each in instances],
        locality=base_pb2.Locality(region=place.region, zone=place.zone, sub_zone=place.subzone),
    )
    group.load_balancing_weight.value = sum(each.weight for each in instances)
    return group


def _endpoint(instance: Instance, secure: bool) -> endpoint_components_pb2.LbEndpoint:
    result = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=socket_address(instance.address, instance.port))
    )
    result.load_balancing_weight.value = instance.weight
    if instance.workload is not None:
        result.metadata.CopyFrom(metadata({"workload": _workload(instance)}))
    if secure:
        mark_endpoint(result.metadata)
    return result


def _workload(instance: Instance) -> str:
    """`name;namespace;app;version;`, as Istio describes the workload of an endpoint."""
    workload = instance.workload
    if workload is None:
        return ""
    labels = instance.labels
    name = workload.owner_name or workload.name
    return ";".join((name, workload.namespace, labels.get("app", ""), labels.get("version", ""), ""))


def _locality(place: base_pb2.Locality) -> Locality:
    return Locality(place.region, place.zone, place.sub_zone)
