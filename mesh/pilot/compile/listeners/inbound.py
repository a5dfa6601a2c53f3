"""The listener for what a workload receives: the interception leads every connection there. Each port that a
service leads to has its chain of filters; what is for other ports passes through to the workload.
"""

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2

from mesh.model import Protocol
from mesh.pilot.compile import metadata, names, transport
from mesh.pilot.compile.listeners import http, tcp
from mesh.pilot.compile.listeners.outbound import port_match
from mesh.pilot.compile.listeners.shared import (
    finished,
    http_inspector,
    original_destination,
    patience,
    sorted_out,
)
from mesh.pilot.compile.messages import flag, socket_address
from mesh.pilot.compile.routes.outbound import default_route
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Inbound, origins
from mesh.pilot.types import Resource

Listener = listener_pb2.Listener
FilterChain = listener_components_pb2.FilterChain
INBOUND = base_pb2.INBOUND


def virtual_inbound(read: Reader, inbound: tuple[Inbound, ...]) -> Resource:
    """The listener of a workload with these ports."""
    listener = Listener(
        name=names.VIRTUAL_INBOUND,
        address=socket_address(names.WILDCARD_ADDRESS, names.INBOUND_PORT),
        traffic_direction=INBOUND,
        listener_filters=[original_destination()],
        filter_chains=[loop(read), *(chain for each in inbound for chain in chains(read, each)), rest(read)],
    )
    if any(each.protocol is Protocol.AUTO for each in inbound):
        known = (each.port for each in inbound if each.protocol is not Protocol.AUTO)
        listener.listener_filters.append(http_inspector(known))
        patience(listener, read.mesh)
    return finished(listener, origins=origins(read, *(each.hostname for each in inbound)))


def loop(read: Reader) -> listener_components_pb2.FilterChain:
    """Connections to the listener's own port would come back for ever."""
    return FilterChain(
        name="virtualInbound-blackhole",
        filter_chain_match=port_match(names.INBOUND_PORT),
        filters=[tcp.to(read.mesh, names.BLACK_HOLE)],
    )


def rest(read: Reader) -> listener_components_pb2.FilterChain:
    """Ports that no service leads to: on to the workload as they are."""
    return FilterChain(name="virtualInbound", filters=[tcp.to(read.mesh, names.INBOUND_PASSTHROUGH)])


def chains(read: Reader, inbound: Inbound) -> list[listener_components_pb2.FilterChain]:
    """The chains of one port of the workload."""
    if inbound.protocol.is_http:
        return [chain(read, inbound, http_filter(read, inbound))]
    rest = chain(read, inbound, tcp.to(read.mesh, names.inbound(inbound.port)))
    if inbound.protocol is Protocol.AUTO:
        return sorted_out(chain(read, inbound, http_filter(read, inbound)), [rest])
    return [rest]


def chain(
    read: Reader, inbound: Inbound, handler: listener_components_pb2.Filter
) -> listener_components_pb2.FilterChain:
    """One chain, named after its port."""
    service = read.service(inbound.hostname)
    return FilterChain(
        name=names.listener(names.WILDCARD_ADDRESS, inbound.port),
        filter_chain_match=port_match(inbound.port),
        filters=[handler],
        metadata=metadata.of_service(service) if service else None,
        transport_socket=transport.downstream(inbound.port),
    )


def http_filter(read: Reader, inbound: Inbound) -> listener_components_pb2.Filter:
    """HTTP to the workload: everything goes to the one port."""
    cluster = names.inbound(inbound.port)
    route = default_route(cluster, names.operation(inbound.hostname, inbound.service_port))
    retry_unsent(route)
    host = route_components_pb2.VirtualHost(
        name=f"inbound|http|{inbound.service_port}", domains=["*"], routes=[route]
    )
    routes = route_pb2.RouteConfiguration(name=cluster, virtual_hosts=[host], validate_clusters=flag(False))
    return http.inbound(read.mesh, inbound.port, routes)


def retry_unsent(route: route_components_pb2.Route) -> None:
    """A kept connection that the workload has just closed: nothing of the request has reached it yet."""
    route.route.retry_policy.retry_on = "reset-before-request"
    route.route.retry_policy.num_retries.value = 2
