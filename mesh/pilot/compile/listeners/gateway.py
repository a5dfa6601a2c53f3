"""The listeners of gateways: one a port that its servers ask for. TLS that ends at the gateway comes with the
mesh's certificates; until then such servers are left out, and said to be (see `problems`).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2

from mesh.pilot.compile import names
from mesh.pilot.compile.listeners import http, tcp
from mesh.pilot.compile.listeners.shared import finished, patience, tls_inspector
from mesh.pilot.compile.messages import socket_address
from mesh.pilot.compile.routes.gateway import hosts_in_common
from mesh.pilot.compile.routes.match import Place
from mesh.pilot.compile.servers import Served, servers
from mesh.pilot.hosts import covers
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope
from mesh.pilot.types import Resource
from mesh.pilot.visibility import exported

Listener = listener_pb2.Listener
FilterChain = listener_components_pb2.FilterChain


def gateway_listeners(read: Reader, scope: Scope) -> Mapping[str, Resource]:
    """All listeners of a gateway."""
    served = sorted(read.ask(servers, scope.labels, scope.ports), key=place_of)
    found = (
        gateway_listener(read, scope, address, port, list(group))
        for (address, port), group in groupby(served, key=place_of)
    )
    return {each.name: each for each in found if each is not None}


def place_of(served: Served) -> tuple[str, int]:
    """Address and port of a server."""
    return served.address, served.port


def gateway_listener(
    read: Reader, scope: Scope, address: str, port: int, served: list[Served]
) -> Resource | None:
    """The listener of one port; None if none of its servers can be served."""
    listener = Listener(
        name=names.listener(address, port),
        address=socket_address(address, port),
        traffic_direction=base_pb2.OUTBOUND,
    )
    gateways = list(dict.fromkeys(each.gateway for each in served))
    if served[0].http:
        route_name = served[0].route_name
        chain = FilterChain(filters=[http.gateway(read.mesh, address, port, route_name)])
        listener.filter_chains.append(chain)
        return finished(listener, origins=gateways, routes=(route_name,))
    ways = list(unique(way for each in served for way in ways_of(read, scope, each)))
    if not ways:
        return None
    listener.filter_chains.extend(tcp.chain(read.mesh, way) for way in ways)
    if any(way.server_names for way in ways):
        listener.listener_filters.append(tls_inspector())
        patience(listener, read.mesh)
    return finished(listener, origins=(*gateways, *(key for way in ways for key in way.origins)))


def ways_of(read: Reader, scope: Scope, served: Served) -> Iterator[tcp.Way]:
    """Where the connections of a TCP or passed-through TLS server go, as its rules say."""
    if served.tls:
        return
    place = Place(scope.client, served.number, served.gateway_name)
    default = read.mesh.default_virtual_service_export_to
    for rule in read.bound(served.gateway_name):
        if hosts_in_common(served, rule) and exported(rule, default, scope.client.namespace):
            if served.protocol.is_tls:
                hosts = served.hosts_for(rule.namespace)
                yield from allowed(tcp.tls_ways(read, rule, place), hosts)
            else:
                yield from tcp.tcp_ways(read, rule, place)


def allowed(ways: Iterable[tcp.Way], hosts: tuple[str, ...]) -> Iterator[tcp.Way]:
    """The ways of names that the server has."""
    for way in ways:
        if any(covers(host, name) for host in hosts for name in way.server_names):
            yield way


def unique(ways: Iterable[tcp.Way]) -> Iterator[tcp.Way]:
    """The first way of each condition: Envoy refuses two chains of filters with the same."""
    seen: set[object] = set()
    for way in ways:
        condition = (way.subnets, way.server_names)
        if way.clusters and condition not in seen:
            seen.add(condition)
            yield way
