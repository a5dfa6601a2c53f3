"""The listener for what a workload receives: the interception leads every connection there. Each port that a
service leads to, or that a policy names, has its chains of filters; other ports share theirs.

What a chain takes follows from the port's mode (see `peers`) and its protocol: mutual TLS is told from clear
text, and from TLS that the workload speaks itself, by what callers of the mesh offer when TLS begins.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.model import ObjectKey, Protocol
from mesh.pilot.compile import authz, jwt, metadata, mixer, names, transport, trust
from mesh.pilot.compile.listeners import http, tcp
from mesh.pilot.compile.listeners.outbound import port_match
from mesh.pilot.compile.listeners.shared import (
    PLAIN_HTTP,
    finished,
    http_inspector,
    leave_out,
    original_destination,
    patience,
    tls_inspector,
)
from mesh.pilot.compile.messages import flag, socket_address
from mesh.pilot.compile.peers import Mode, Modes, modes
from mesh.pilot.compile.routes.outbound import default_route
from mesh.pilot.reader import Reader
from mesh.pilot.reporting import Logs
from mesh.pilot.scope import Client, Inbound, Scope, origins
from mesh.pilot.selection import keys
from mesh.pilot.tables import SELECTING_KINDS
from mesh.pilot.types import Resource

Listener = listener_pb2.Listener
Filter = listener_components_pb2.Filter
FilterChain = listener_components_pb2.FilterChain
HttpFilter = http_connection_manager_pb2.HttpFilter
INBOUND = base_pb2.INBOUND
ANY_PORT = 0
TLS, CLEAR = "tls", "raw_buffer"


@dataclass(frozen=True, slots=True)
class Taken:
    """What one chain takes; without a transport everything. `secured` ends mutual TLS."""

    transport: str = ""
    offers: tuple[str, ...] = ()
    http: bool = False
    secured: bool = False


HTTP = {
    Mode.DISABLE: (Taken(http=True),),
    Mode.PERMISSIVE: (Taken(TLS, http=True, secured=True), Taken(CLEAR, http=True)),
    Mode.STRICT: (Taken(TLS, http=True, secured=True),),
}
TCP = {
    Mode.DISABLE: (Taken(),),
    Mode.PERMISSIVE: (Taken(TLS, (transport.MESH,), secured=True), Taken(CLEAR), Taken(TLS)),
    Mode.STRICT: (Taken(TLS, secured=True),),
}
AUTO = {
    Mode.DISABLE: (Taken(CLEAR, PLAIN_HTTP, http=True), Taken(CLEAR), Taken()),
    Mode.PERMISSIVE: (
        Taken(TLS, transport.MESH_HTTP, http=True, secured=True),
        Taken(TLS, (transport.MESH,), secured=True),
        Taken(CLEAR, PLAIN_HTTP, http=True),
        Taken(CLEAR),
        Taken(TLS),
    ),
    Mode.STRICT: (Taken(TLS, transport.MESH_HTTP, http=True, secured=True), Taken(TLS, secured=True)),
}
"""Envoy does not step back while it looks for a chain: once one asks for clear text, clear text finds only
chains that ask for clear text. So what takes everything is there for each transport."""


@dataclass(frozen=True, slots=True)
class Way:
    """A port of the workload and how it is reached; all ports without a service are one."""

    port: int
    protocol: Protocol
    mode: Mode
    cluster: str
    operation: str = ""
    hostname: str = ""
    service_port: int = ANY_PORT

    def takes(self) -> tuple[Taken, ...]:
        """What its chains take."""
        if self.protocol is Protocol.AUTO:
            return AUTO[self.mode]
        return (HTTP if self.protocol.is_http else TCP)[self.mode]


def server_scope(scope: Scope) -> Scope:
    """What of a sidecar's scope its inbound listener depends on."""
    return Scope(
        scope.kind,
        Client(scope.client.namespace),
        inbound=scope.inbound,
        labels=scope.labels,
        facts=scope.facts,
        server_side=scope.server_side,
    )


def virtual_inbound(read: Reader, scope: Scope) -> Resource:
    """The listener of a workload, of what `server_scope` leaves of its scope."""
    found = read.ask(modes, scope.client.namespace, scope.labels)
    ways = list(ways_of(scope.inbound, found))
    listener = Listener(
        name=names.VIRTUAL_INBOUND,
        address=socket_address(names.WILDCARD_ADDRESS, names.INBOUND_PORT),
        traffic_direction=INBOUND,
        listener_filters=[original_destination(), *inspectors(ways)],
        filter_chains=[
            loop(scope.server_side.logs),
            *(chain for way in ways for chain in chains(read, scope, way)),
        ],
    )
    patience(listener, read.mesh)
    services = origins(read, *(each.hostname for each in scope.inbound))
    return finished(listener, origins=(*services, *policies(read, scope), *mixers(read, scope, ways)))


def mixers(read: Reader, scope: Scope, ways: list[Way]) -> Iterator[ObjectKey]:
    """The names of Mixer's objects that decide about calls of a workload."""
    for way in ways:
        for protocol in (spoken(way), "tcp"):
            yield from mixer.origins(read, checked(scope, way, protocol))


def policies(read: Reader, scope: Scope) -> tuple[ObjectKey, ...]:
    """The names of the policies for a workload."""
    return keys(read, SELECTING_KINDS, scope.client.namespace, scope.labels)


def ways_of(inbound: tuple[Inbound, ...], found: Modes) -> Iterator[Way]:
    """The ports that services lead to, those that only a policy names, and all others."""
    known = {each.port for each in inbound}
    for each in inbound:
        operation = names.operation(each.hostname, each.service_port)
        mode, cluster = found.at(each.port), names.inbound(each.port)
        yield Way(each.port, each.protocol, mode, cluster, operation, each.hostname, each.service_port)
    for port, mode in found.ports:
        if port not in known and port not in names.OWN_PORTS:
            yield Way(port, Protocol.AUTO, mode, names.INBOUND_PASSTHROUGH)
    yield Way(ANY_PORT, Protocol.AUTO, found.default, names.INBOUND_PASSTHROUGH)


def inspectors(ways: list[Way]) -> Iterator[listener_components_pb2.ListenerFilter]:
    """Look at first bytes, but not on ports where that changes nothing."""
    secured = tls_inspector()
    leave_out(secured, (way.port for way in ways if way.port and not needs_tls(way)))
    yield secured
    known = {way.port for way in ways if way.port and not needs_http(way)}
    yield http_inspector(sorted(known))


def needs_tls(way: Way) -> bool:
    """Whether TLS is told from clear text."""
    return any(each.transport for each in way.takes())


def needs_http(way: Way) -> bool:
    """Whether HTTP is told from all else."""
    return any(each.offers == PLAIN_HTTP for each in way.takes())


def loop(logs: Logs) -> listener_components_pb2.FilterChain:
    """Connections to the listener's own port would come back for ever."""
    return FilterChain(
        name="virtualInbound-blackhole",
        filter_chain_match=port_match(names.INBOUND_PORT),
        filters=[tcp.to(logs, names.BLACK_HOLE)],
    )


def chains(read: Reader, scope: Scope, way: Way) -> Iterator[listener_components_pb2.FilterChain]:
    """The chains of one port of the workload."""
    place = authz.Place(scope.client.namespace, scope.labels, way.port)
    takes = way.takes()
    http_filters = [http_handler(read, scope, way, place)] if any(each.http for each in takes) else []
    other = not all(each.http for each in takes)
    tcp_filters = tcp_handlers(read, scope, way, place) if other else []
    for each in takes:
        yield chain(read, way, each, http_filters if each.http else tcp_filters)


def chain(
    read: Reader, way: Way, taken: Taken, handlers: Iterable[listener_components_pb2.Filter]
) -> listener_components_pb2.FilterChain:
    """One chain, named after its port."""
    result = FilterChain(name=name_of(way, taken), filters=handlers)
    if way.port:
        result.filter_chain_match.destination_port.value = way.port
    result.filter_chain_match.transport_protocol = taken.transport
    result.filter_chain_match.application_protocols.extend(taken.offers)
    service = read.service(way.hostname) if way.hostname else None
    if service is not None:
        result.metadata.CopyFrom(metadata.of_service(service))
    if taken.secured:
        result.transport_socket.CopyFrom(transport.downstream(read))
        trust.mark(result.metadata, read)
    return result


def name_of(way: Way, taken: Taken) -> str:
    """The name of a chain, as Istio has it."""
    if way.port:
        return names.listener(names.WILDCARD_ADDRESS, way.port)
    return "virtualInbound-catchall-http" if taken.http else "virtualInbound"


def tcp_handlers(
    read: Reader, scope: Scope, way: Way, place: authz.Place
) -> list[listener_components_pb2.Filter]:
    """What handles connections that are not HTTP."""
    checks = mixer.tcp_filters(read, checked(scope, way, "tcp"))
    return [*authz.tcp_filters(read, scope, place), *checks, tcp.to(scope.server_side.logs, way.cluster)]


def http_handler(read: Reader, scope: Scope, way: Way, place: authz.Place) -> listener_components_pb2.Filter:
    """HTTP to the workload: everything goes to the one port."""
    checks = mixer.http_filters(read, checked(scope, way, spoken(way)))
    route = default_route(way.cluster, way.operation)
    retry_unsent(route)
    host = route_components_pb2.VirtualHost(
        name=f"inbound|http|{way.service_port}", domains=["*"], routes=[route]
    )
    checks.tell(host)
    routes = route_pb2.RouteConfiguration(
        name=way.cluster, virtual_hosts=[host], validate_clusters=flag(False)
    )
    return http.inbound(
        scope.server_side,
        way.port,
        routes,
        (*guards(read, scope, place), *checks.filters),
        checks.replies,
    )


def spoken(way: Way) -> str:
    """What a port speaks, as `context.protocol` has it."""
    return "grpc" if way.protocol is Protocol.GRPC else "http"


def checked(scope: Scope, way: Way, protocol: str) -> mixer.Place:
    """Where Mixer's rules are enforced."""
    return mixer.Place(
        scope.client.namespace, scope.facts, way.port, way.hostname, protocol, secured=way.mode is Mode.STRICT
    )


def guards(
    read: Reader, scope: Scope, place: authz.Place
) -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """The HTTP filters that decide whether a request may pass: tokens first, since policies ask for them."""
    return (*jwt.filters(read, scope, place), *authz.http_filters(read, scope, place))


def retry_unsent(route: route_components_pb2.Route) -> None:
    """A kept connection that the workload has just closed: nothing of the request has reached it yet."""
    route.route.retry_policy.retry_on = "reset-before-request"
    route.route.retry_policy.num_retries.value = 2
