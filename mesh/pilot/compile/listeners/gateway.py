"""The listeners of gateways: one a port that its servers ask for. Servers in clear text share what handles
them; where callers begin with TLS, each server has chains of filters by the names that they ask for.

A server whose Secret is missing is left out until it is there (see `problems`); the others serve.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.model import ObjectKey
from mesh.pilot.compile import authz, jwt, mixer, names, serving
from mesh.pilot.compile.listeners import http, tcp
from mesh.pilot.compile.listeners.shared import finished, patience, tls_inspector
from mesh.pilot.compile.messages import socket_address
from mesh.pilot.compile.metadata import FILTER
from mesh.pilot.compile.routes.gateway import hosts_in_common
from mesh.pilot.compile.routes.match import Place
from mesh.pilot.compile.servers import Served, servers
from mesh.pilot.compile.trust import CRL
from mesh.pilot.hosts import covers
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope
from mesh.pilot.selection import keys
from mesh.pilot.tables import SELECTING_KINDS
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
    origins = [*dict.fromkeys(each.gateway for each in served), *policies(read, scope)]
    if served[0].names:
        usable = [each for each in served if not (each.tls and lacking(read, scope, each))]
        chains, routes = named_chains(read, scope, usable, origins)
    elif served[0].http:
        routes = [served[0].route_name]
        chains = [FilterChain(filters=[requests(read, scope, served[0])])]
    else:
        ways = list(unique(way for each in served for way in ways_of(read, scope, each)))
        chains, routes = [chain_of(read, scope, served[0], way) for way in ways], []
        origins.extend(key for way in ways for key in way.origins)
    if not chains:
        return None
    listener = Listener(
        name=names.listener(address, port),
        address=socket_address(address, port),
        traffic_direction=base_pb2.OUTBOUND,
        filter_chains=chains,
    )
    if served[0].names:
        listener.listener_filters.append(tls_inspector())
        patience(listener, read.mesh)
    checks = (checked(scope, each, protocol) for each in served for protocol in ("http", "tcp"))
    origins.extend(key for each in dict.fromkeys(checks) for key in mixer.origins(read, each))
    return finished(listener, origins=origins, routes=routes)


def policies(read: Reader, scope: Scope) -> tuple[ObjectKey, ...]:
    """The names of the policies for a gateway."""
    return keys(read, SELECTING_KINDS, scope.client.namespace, scope.labels)


def lacking(read: Reader, scope: Scope, served: Served) -> bool:
    """Whether a Secret is missing that a server needs."""
    settings = served.server.tls
    return settings is not None and bool(serving.missing(read, scope.client.namespace, settings))


# Where callers begin with TLS


def named_chains(
    read: Reader, scope: Scope, served: list[Served], origins: list[ObjectKey]
) -> tuple[list[listener_components_pb2.FilterChain], list[str]]:
    """The chains of servers that share a port, and the names of their routes. The first server that has a
    name keeps it: Envoy refuses two chains with the same.
    """
    chains: list[FilterChain] = []
    routes: dict[str, None] = {}
    seen: set[tuple[object, ...]] = set()
    for each in served:
        for chain in list(chains_of(read, scope, each, origins)):
            if claimed(chain, seen):
                chains.append(chain)
                if each.http:
                    routes[each.route_name] = None
    return chains, list(routes)


def claimed(chain: listener_components_pb2.FilterChain, seen: set[tuple[object, ...]]) -> bool:
    """Whether a chain still has names of its own; those that are taken are left out."""
    match = chain.filter_chain_match
    subnets = tuple((each.address_prefix, each.prefix_len.value) for each in match.prefix_ranges)
    wanted = list(match.server_names) or [""]
    free = [name for name in wanted if (subnets, name) not in seen]
    seen.update((subnets, name) for name in free)
    if len(free) < len(wanted):
        match.ClearField("server_names")
        match.server_names.extend(free)
    return bool(free)


def chains_of(
    read: Reader, scope: Scope, served: Served, origins: list[ObjectKey]
) -> Iterator[listener_components_pb2.FilterChain]:
    """The chains of one server: one if TLS ends here, else one for each way that rules name."""
    if not served.tls:
        for way in ways_of(read, scope, served):
            if way.clusters:
                origins.extend(way.origins)
                yield chain_of(read, scope, served, way)
        return
    if served.http:
        yield secured(read, scope, served, FilterChain(filters=[requests(read, scope, served)]))
        return
    for way in unique(ways_of(read, scope, served)):
        origins.extend(way.origins)
        yield secured(read, scope, served, chain_of(read, scope, served, way))


def secured(
    read: Reader, scope: Scope, served: Served, chain: listener_components_pb2.FilterChain
) -> listener_components_pb2.FilterChain:
    """The chain, behind the server's TLS, for its names."""
    settings = served.server.tls
    if settings is None:
        return chain
    chain.transport_socket.CopyFrom(serving.server(read, settings, http=served.http))
    chain.filter_chain_match.transport_protocol = "tls"
    chain.filter_chain_match.server_names.extend(served.server_names())
    mark = serving.revoked(read, scope.client.namespace, settings)
    if mark:
        chain.metadata.filter_metadata[FILTER][CRL] = mark
    return chain


# What handles connections


def requests(read: Reader, scope: Scope, served: Served) -> listener_components_pb2.Filter:
    """The filter that handles a server's requests."""
    guards = guards_of(read, scope, place(scope, served))
    checks = mixer.http_filters(read, checked(scope, served, "http"))
    every = (*guards, *checks.filters)
    return http.gateway(
        read.mesh, scope.client_side, served.address, served.port, served.route_name, every, checks.replies
    )


def checked(scope: Scope, served: Served, protocol: str) -> mixer.Place:
    """Where Mixer's rules are enforced."""
    return mixer.Place(scope.client.namespace, scope.facts, served.port, protocol=protocol, gateway=True)


def guards_of(
    read: Reader, scope: Scope, place: authz.Place
) -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """The HTTP filters that decide whether a request may pass: tokens first, since policies ask for them."""
    return (*jwt.filters(read, scope, place), *authz.http_filters(read, scope, place))


def place(scope: Scope, served: Served) -> authz.Place:
    """Where policies are enforced."""
    return authz.Place(scope.client.namespace, scope.labels, served.port, gateway=True)


def chain_of(read: Reader, scope: Scope, served: Served, way: tcp.Way) -> listener_components_pb2.FilterChain:
    """The chain for one way of connections that are not looked into."""
    result = tcp.chain(scope.client_side.logs, way)
    checks = mixer.tcp_filters(read, checked(scope, served, "tcp"))
    guards = (*authz.tcp_filters(read, scope, place(scope, served)), *checks)
    if guards:
        handler = list(result.filters)
        result.ClearField("filters")
        result.filters.extend([*guards, *handler])
    return result


def ways_of(read: Reader, scope: Scope, served: Served) -> Iterator[tcp.Way]:
    """Where the connections of a server go that is not HTTP, as its rules say: by name while they are
    encrypted, else by address.
    """
    where = Place(scope.client, served.number, served.gateway_name)
    default = read.mesh.default_virtual_service_export_to
    for rule in read.bound(served.gateway_name):
        if hosts_in_common(served, rule) and exported(rule, default, scope.client.namespace):
            if served.protocol.is_tls and not served.tls:
                yield from allowed(tcp.tls_ways(read, rule, where), served.hosts_for(rule.namespace))
            else:
                yield from tcp.tcp_ways(read, rule, where)


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
