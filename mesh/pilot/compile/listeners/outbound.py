"""The listeners for what a workload sends. Only `virtualOutbound` has a socket: the interception leads every
connection there, and it hands them over to the listener of the address that they were for.

HTTP ports share one listener a port, whichever services are behind it; TCP services have one an address. A
service of unknown protocol has its own, which looks at the first bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2

from mesh.model import Port, Protocol, Resolution, Service
from mesh.pilot.compile import metadata, names, trust
from mesh.pilot.compile.listeners import http, tcp
from mesh.pilot.compile.listeners.shared import (
    finished,
    http_inspector,
    patience,
    sorted_out,
    tls_inspector,
)
from mesh.pilot.compile.messages import flag, socket_address
from mesh.pilot.compile.routes.match import Place
from mesh.pilot.observed import UNOBSERVED, Observed
from mesh.pilot.reader import Reader
from mesh.pilot.reporting import Logs
from mesh.pilot.scope import Client, origins
from mesh.pilot.types import Resource
from mesh.pilot.visibility import ports_seen, routing_rules

Listener = listener_pb2.Listener
FilterChain = listener_components_pb2.FilterChain
OUTBOUND = base_pb2.OUTBOUND


def outbound_listeners(
    read: Reader, client: Client, observed: Observed = UNOBSERVED
) -> Mapping[str, Resource]:
    """All listeners for what workloads of a client send."""
    found = {names.VIRTUAL_OUTBOUND: read.ask(virtual_outbound, observed.logs)}
    for port, hostnames in read.ask(ports_seen, client.namespace).items():
        found.update(read.ask(port_listeners, client, port, hostnames, observed))
    return found


def port_listeners(
    read: Reader, client: Client, port: int, hostnames: tuple[str, ...], observed: Observed
) -> Mapping[str, Resource]:
    """The listeners of one port number. On the address that all share, HTTP goes before TCP, and the proxy's
    own ports are left out: Envoy refuses two listeners of one address.
    """
    found: dict[str, Resource] = {}
    by_address: dict[str, list[str]] = {}
    shared = [hostname for hostname in hostnames if is_shared(read, hostname, port)]
    if shared:
        sniff = any(protocol_of(read, hostname, port) is Protocol.AUTO for hostname in shared)
        each = read.ask(http_listener, port, sniff, observed)
        found[each.name] = each
    for hostname in hostnames:
        for address in read.ask(own_addresses, hostname, port):
            by_address.setdefault(address, []).append(hostname)
    for address, some in by_address.items():
        each = read.ask(own_listener, client, address, port, tuple(some), observed)
        found.setdefault(each.name, each)
    if port in names.OWN_PORTS:
        found.pop(names.listener(names.WILDCARD_ADDRESS, port), None)
    return found


def protocol_of(read: Reader, hostname: str, port: int) -> Protocol | None:
    """The protocol of a service port."""
    service = read.service(hostname)
    found = service.port(port) if service else None
    return found.protocol if found else None


def is_shared(read: Reader, hostname: str, port: int) -> bool:
    """Whether a service port is served by the port's common HTTP listener."""
    service = read.service(hostname)
    protocol = protocol_of(read, hostname, port)
    if service is None or protocol is None:
        return False
    return protocol.is_http or (protocol is Protocol.AUTO and not service.addresses)


def virtual_outbound(read: Reader, logs: Logs) -> Resource:
    """The listener with the socket: what has no listener of its own passes through, or is refused."""
    loop = FilterChain(
        name="virtualOutbound-blackhole",
        filter_chain_match=port_match(names.OUTBOUND_PORT),
        filters=[tcp.to(logs, names.BLACK_HOLE)],
    )
    rest = FilterChain(name="virtualOutbound-catchall-tcp", filters=[tcp.to(logs, fallback(read))])
    listener = Listener(
        name=names.VIRTUAL_OUTBOUND,
        address=socket_address(names.WILDCARD_ADDRESS, names.OUTBOUND_PORT),
        filter_chains=[loop, rest],
        use_original_dst=flag(True),
        traffic_direction=OUTBOUND,
    )
    return finished(listener)


def fallback(read: Reader) -> str:
    """The cluster for what nobody knows: on to where it was going, or nowhere."""
    known = read.mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    return names.BLACK_HOLE if known else names.PASSTHROUGH


def port_match(port: int) -> listener_components_pb2.FilterChainMatch:
    """Connections to a port."""
    result = listener_components_pb2.FilterChainMatch()
    result.destination_port.value = port
    return result


def http_listener(read: Reader, port: int, sniff: bool, observed: Observed) -> Resource:
    """The common HTTP listener of a port; if something of unknown protocol is there too, it looks first."""
    handler = http.outbound(observed, names.WILDCARD_ADDRESS, port, str(port))
    chain = FilterChain(filters=[handler])
    listener = empty(names.WILDCARD_ADDRESS, port)
    if sniff:
        rest = FilterChain(filters=[tcp.to(observed.logs, fallback(read))])
        sniffing(read, listener, chain, [rest])
    else:
        listener.filter_chains.append(chain)
    return finished(listener, routes=(str(port),))


def sniffing(
    read: Reader,
    listener: listener_pb2.Listener,
    chain: listener_components_pb2.FilterChain,
    rest: list[listener_components_pb2.FilterChain],
) -> None:
    """Handle what turns out to be HTTP by one chain, all else by the others."""
    listener.listener_filters.extend([tls_inspector(), http_inspector()])
    listener.filter_chains.extend(sorted_out(chain, rest))
    patience(listener, read.mesh)


# Of services that are not HTTP


def own_addresses(read: Reader, hostname: str, port: int) -> tuple[str, ...]:
    """Where callers connect to for a service port that is not served by the common HTTP listener."""
    service = read.service(hostname)
    found = service.port(port) if service else None
    if service is None or found is None or found.protocol is Protocol.UDP or is_shared(read, hostname, port):
        return ()
    return tuple(dict.fromkeys(_own_addresses(read, service, found)))


def _own_addresses(read: Reader, service: Service, port: Port) -> Iterator[str]:
    """The service's addresses, those of its instances, or any; ranges are told apart within any."""
    if service.addresses:
        yield from (names.WILDCARD_ADDRESS if "/" in each else each for each in service.addresses)
    elif service.resolution is Resolution.PASSTHROUGH and of_platform(service):
        instances = read.instances(service.hostname, port.number)
        yield from sorted({each.address for each in instances if each.port == port.number})
    else:
        yield names.WILDCARD_ADDRESS


def of_platform(service: Service) -> bool:
    """Whether it is a Service, whose instances are known, and not a ServiceEntry."""
    return service.origin is None or service.origin.kind == "Service"


def own_listener(
    read: Reader,
    client: Client,
    address: str,
    port: int,
    hostnames: tuple[str, ...],
    observed: Observed,
) -> Resource:
    """The listener of an address that one or more services have for themselves."""
    service = read.service(hostnames[0])
    found = service.port(port) if service else None
    if service and found and found.protocol is Protocol.AUTO:
        return sniffed(read, client, service, found, address, observed)
    ways = list(claimed(ways_at(read, client, address, port, hostnames)))
    if not any(each.everything for each in ways):
        ways.append(tcp.Way(((fallback(read), 1),)))
    services = [each for hostname in hostnames if (each := read.service(hostname)) is not None]
    return tcp_listener(read, observed.logs, services, address, port, ways)


def ways_at(
    read: Reader, client: Client, address: str, port: int, hostnames: tuple[str, ...]
) -> Iterator[tcp.Way]:
    """The ways of services that share an address, those with conditions first."""
    every = [each for name in hostnames for each in narrowed(read, client, address, port, name, hostnames)]
    yield from sorted(every, key=lambda way: way.everything)


def narrowed(
    read: Reader, client: Client, address: str, port: int, hostname: str, hostnames: tuple[str, ...]
) -> Iterator[tcp.Way]:
    """The ways of one service, told from those of others at its address: by the name that callers of TLS ask
    for, or by the service's ranges of addresses.
    """
    service = read.service(hostname)
    found = service.port(port) if service else None
    any_address = address == names.WILDCARD_ADDRESS
    ranges = tuple(each for each in service.addresses if "/" in each) if service and any_address else ()
    by_name = found is not None and found.protocol.is_tls and (len(hostnames) > 1 or any_address)
    for way in read.ask(tcp_ways_of, client, hostname, port):
        wanted = (hostname,) if by_name and not way.server_names else way.server_names
        yield replace(way, server_names=wanted, subnets=way.subnets or ranges)


def claimed(ways: Iterable[tcp.Way]) -> Iterator[tcp.Way]:
    """The first way of each condition: Envoy refuses two chains of filters with the same."""
    seen: set[tuple[str, str]] = set()
    for way in ways:
        wanted = {(net, name) for net in way.subnets or ("",) for name in way.server_names or ("",)}
        if way.clusters and not wanted & seen:
            seen |= wanted
            yield way


def tcp_ways_of(read: Reader, client: Client, hostname: str, port: int) -> tuple[tcp.Way, ...]:
    """Where the connections to a service port go: as the rules say, all else to the service itself."""
    place = Place(client, port)
    ways: list[tcp.Way] = []
    protocol = protocol_of(read, hostname, port)
    for key in read.ask(routing_rules, client.namespace, hostname):
        rule = read.object(key)
        if rule is not None and not ways:
            tls = tcp.tls_ways(read, rule, place) if protocol and protocol.is_tls else ()
            ways = [*tls, *tcp.tcp_ways(read, rule, place)]
    if not any(each.everything for each in ways):
        ways.append(tcp.Way(((names.outbound(port, hostname), 1),)))
    return tuple(ways)


def tcp_listener(
    read: Reader, logs: Logs, services: list[Service], address: str, port: int, ways: Iterable[tcp.Way]
) -> Resource:
    """The listener of an address that TCP services have."""
    ways = tuple(ways)
    listener = empty(address, port)
    listener.filter_chains.extend(secured(read, tcp.chain(logs, way)) for way in ways)
    if any(way.server_names for way in ways):
        listener.listener_filters.append(tls_inspector())
        patience(listener, read.mesh)
    listener.metadata.CopyFrom(metadata.of(services=services) or base_pb2.Metadata())
    sources = (key for way in ways for key in way.origins)
    return finished(listener, origins=(*origins(read, *(each.hostname for each in services)), *sources))


def secured(read: Reader, chain: listener_components_pb2.FilterChain) -> listener_components_pb2.FilterChain:
    """The chain with the mark of what has been revoked: connections last as long as both ends like, so they
    have to be made again for the other's certificate to be looked at anew.
    """
    trust.mark(chain.metadata, read)
    return chain


def sniffed(
    read: Reader, client: Client, service: Service, port: Port, address: str, observed: Observed
) -> Resource:
    """The listener of a service of unknown protocol: HTTP if it looks like it, else TCP."""
    listener = empty(address, port.number)
    route_name = names.sniffed_route(service.hostname, port.number)
    chain = FilterChain(filters=[http.outbound(observed, address, port.number, route_name)])
    ways = read.ask(tcp_ways_of, client, service.hostname, port.number)
    sniffing(read, listener, chain, [tcp.chain(observed.logs, way) for way in ways])
    listener.metadata.CopyFrom(metadata.of_service(service))
    return finished(listener, origins=origins(read, service.hostname), routes=(route_name,))


def empty(address: str, port: int) -> listener_pb2.Listener:
    """A listener without a socket and still without chains."""
    return Listener(
        name=names.listener(address, port),
        address=socket_address(address, port),
        bind_to_port=flag(False),
        traffic_direction=OUTBOUND,
    )
