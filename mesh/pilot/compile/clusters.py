"""Clusters: how callers reach each service port and subset, how a sidecar reaches its own workload, and the
two that are always there, for what nobody knows and for what must go nowhere.
"""

from collections.abc import Iterator, Mapping

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from mesh.model import Instance, ObjectKey, Port, Protocol, ProxyKind, Resolution, Service
from mesh.pilot.compile import metadata, names, transport
from mesh.pilot.compile.balancing import balance
from mesh.pilot.compile.destination import Destination, locality_setting, merged
from mesh.pilot.compile.limits import eject, limit
from mesh.pilot.compile.messages import from_pilot, resource, seconds, socket_address, wire
from mesh.pilot.compile.parts import parted
from mesh.pilot.compile.peers import takes_mtls
from mesh.pilot.compile.protocols import speak
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Client, Inbound, Scope, origins
from mesh.pilot.types import CDS, EDS, Resource
from mesh.pilot.visibility import destination_rules, visible

Cluster = cluster_pb2.Cluster
Resources = Mapping[str, Resource]

OWN_SOURCE = "127.0.0.6"
"""A sidecar's source address towards its own workload; the interception lets it pass."""

TYPES = {
    Resolution.EDS: Cluster.EDS,
    Resolution.DNS: Cluster.STRICT_DNS,
    Resolution.DNS_ROUND_ROBIN: Cluster.LOGICAL_DNS,
    Resolution.PASSTHROUGH: Cluster.ORIGINAL_DST,
}


def clusters(read: Reader, scope: Scope) -> Resources:
    """All clusters of a proxy."""
    own = read.ask(sidecar_clusters, scope.inbound) if scope.kind is ProxyKind.SIDECAR else {}
    return {
        **read.ask(outbound_clusters, scope.client, scope.kind is ProxyKind.ROUTER),
        **own,
        **read.ask(fixed_clusters, scope.kind),
    }


def outbound_clusters(read: Reader, client: Client, gateway: bool = False) -> Resources:
    """The clusters of all services that a client sees."""
    parts = read.ask(parted, frozenset(read.ask(visible, client.namespace)))
    return {
        name: each for part in parts for name, each in read.ask(some_clusters, client, part, gateway).items()
    }


def some_clusters(
    read: Reader, client: Client, hostnames: tuple[str, ...], gateway: bool = False
) -> Resources:
    """The clusters of some services. For gateways they differ only where rules name credentials."""
    found: dict[str, Resource] = {}
    for hostname in hostnames:
        rules = read.ask(destination_rules, client, hostname)
        if gateway and read.ask(merged, rules).credentials:
            found.update(read.ask(service_clusters, hostname, rules, True))
        else:
            found.update(read.ask(service_clusters, hostname, rules))
    return found


def service_clusters(
    read: Reader, hostname: str, rules: tuple[ObjectKey, ...], gateway: bool = False
) -> Resources:
    """The clusters of one service under DestinationRules: one a port, one a port and subset."""
    service = read.service(hostname)
    if service is None:
        return {}
    destination = read.ask(merged, rules)
    every = (
        service_cluster(read, service, port, destination, subset, gateway)
        for port in service.ports
        if port.protocol is not Protocol.UDP
        for subset in ("", *(each.name for each in destination.subsets))
    )
    return {each.name: each for each in every}


def service_cluster(
    read: Reader, service: Service, port: Port, destination: Destination, subset: str, gateway: bool
) -> Resource:
    """One cluster of a service."""
    settings = destination.settings(port.number, subset)
    cluster = Cluster(
        name=names.outbound(port.number, service.hostname, subset),
        type=TYPES[service.resolution],
        connect_timeout=seconds(read.mesh.connect_timeout),
        metadata=metadata.of(
            config=destination.rules[0] if destination.rules else None,
            services=(service,),
            subset=subset,
            port=port.number,
        ),
    )
    locate(read, cluster, service, port)
    limit(cluster, settings.connection_pool)
    balance(cluster, settings.load_balancer, locality_setting(read, settings))
    eject(cluster, settings.outlier_detection)
    speak(cluster, port.protocol, settings.connection_pool)
    transport.upstream(read, cluster, transport.Called(service, port, subset, gateway), settings.tls)
    origin = (service.origin,) if service.origin else ()
    return finished(cluster, (*origin, *destination.rules))


def locate(read: Reader, cluster: cluster_pb2.Cluster, service: Service, port: Port) -> None:
    """Say where the hosts come from."""
    if cluster.type == Cluster.EDS:
        cluster.eds_cluster_config.service_name = cluster.name
        cluster.eds_cluster_config.eds_config.CopyFrom(from_pilot())
    elif cluster.type in (Cluster.STRICT_DNS, Cluster.LOGICAL_DNS):
        cluster.load_assignment.CopyFrom(fixed(read, cluster, service, port))
        cluster.dns_lookup_family = Cluster.V4_ONLY


def fixed(
    read: Reader, cluster: cluster_pb2.Cluster, service: Service, port: Port
) -> endpoint_pb2.ClusterLoadAssignment:
    """Hosts that Envoy looks up: those that the service names, else its own."""
    every = [each for each in read.instances(service.hostname, port.number) if each.healthy]
    if cluster.type == Cluster.LOGICAL_DNS:
        del every[1:]
    endpoints = [looked_up(each, secure=takes_mtls(read, each, service.namespace)) for each in every]
    itself = Instance(service.hostname, port.number, service.hostname, port.number)
    localities = [
        endpoint_components_pb2.LocalityLbEndpoints(
            lb_endpoints=endpoints or [looked_up(itself, secure=False)]
        )
    ]
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster.name, endpoints=localities)


def looked_up(instance: Instance, *, secure: bool) -> endpoint_components_pb2.LbEndpoint:
    """A host that Envoy looks up."""
    result = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=socket_address(instance.address, instance.port))
    )
    if instance.weight != 1:
        result.load_balancing_weight.value = instance.weight
    if secure:
        transport.mark_endpoint(result.metadata)
    return result


# Inbound


def sidecar_clusters(read: Reader, inbound: tuple[Inbound, ...]) -> Resources:
    """The clusters by which a sidecar reaches its own workload."""
    every = [read.ask(inbound_cluster, each) for each in inbound]
    return {each.name: each for each in every}


def inbound_cluster(read: Reader, inbound: Inbound) -> Resource:
    """One port of the workload: the address that the caller dialled, from the sidecar's own source."""
    service = read.service(inbound.hostname)
    cluster = own_workload(names.inbound(inbound.port), read.mesh.connect_timeout)
    if service is not None:
        cluster.metadata.CopyFrom(metadata.of_service(service))
    limit(cluster, None)
    speak(cluster, inbound.protocol, None)
    return finished(cluster, origins(read, inbound.hostname))


def own_workload(name: str, connect_timeout: float) -> cluster_pb2.Cluster:
    """A cluster that leads to the workload beside the sidecar."""
    return Cluster(
        name=name,
        type=Cluster.ORIGINAL_DST,
        lb_policy=Cluster.CLUSTER_PROVIDED,
        connect_timeout=seconds(connect_timeout),
        upstream_bind_config=address_pb2.BindConfig(
            source_address=socket_address(OWN_SOURCE, 0).socket_address
        ),
    )


# Always there


def fixed_clusters(read: Reader, kind: ProxyKind) -> Resources:
    """The clusters that belong to no service."""
    return {each.name: each for each in _fixed(read, kind)}


def _fixed(read: Reader, kind: ProxyKind) -> Iterator[Resource]:
    timeout = read.mesh.connect_timeout
    yield finished(
        Cluster(name=names.BLACK_HOLE, type=Cluster.STATIC, connect_timeout=seconds(timeout)),
    )
    if kind is ProxyKind.SIDECAR:
        inbound = own_workload(names.INBOUND_PASSTHROUGH, timeout)
        outbound = Cluster(
            name=names.PASSTHROUGH,
            type=Cluster.ORIGINAL_DST,
            lb_policy=Cluster.CLUSTER_PROVIDED,
            connect_timeout=seconds(timeout),
        )
        for cluster in (inbound, outbound):
            limit(cluster, None)
            speak(cluster, Protocol.AUTO, None)
            yield finished(cluster)


def finished(cluster: cluster_pb2.Cluster, origin: tuple[ObjectKey, ...] = ()) -> Resource:
    """The cluster as a resource; with endpoints from Pilot it waits for them."""
    waits_for = ((EDS, cluster.name),) if cluster.HasField("eds_cluster_config") else ()
    return resource(CDS, cluster.name, wire(cluster), origins=origin, waits_for=waits_for)
