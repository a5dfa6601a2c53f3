"""The routes of sidecars: for each HTTP port the virtual hosts of all services there, and what becomes of
requests to hosts that nobody knows.
"""

from collections.abc import Iterator

from envoy.config.route.v3 import route_components_pb2

from mesh.model import ObjectKey, Protocol, Resolution
from mesh.pilot.compile import names
from mesh.pilot.compile.destination import consistent_hash
from mesh.pilot.compile.routes.hashing import hash_policy
from mesh.pilot.compile.routes.match import Place
from mesh.pilot.compile.routes.offers import offer
from mesh.pilot.compile.routes.retries import retry_policy
from mesh.pilot.compile.routes.rules import routes_of, time_out
from mesh.pilot.compile.routes.virtual_hosts import Host, configuration, host, unique
from mesh.pilot.hosts import full, is_wildcard, names_in
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Client, origins
from mesh.pilot.types import Resource
from mesh.pilot.visibility import destination_rules, exported, ports_seen, routing_rules, sees

Route = route_components_pb2.Route
RouteMatch = route_components_pb2.RouteMatch

HTTP_PORT = 80
"""Rules for hosts that are no services hold on this port only, as in Istio."""


def sidecar_routes(read: Reader, client: Client, name: str) -> Resource | None:
    """The route configuration of a name: a port, or `host:port`; None if there is none of this name."""
    hostname, _, port = name.rpartition(":")
    if not port.isdecimal():
        return None
    if hostname:
        return read.ask(sniffed, client, hostname, int(port))
    hosts = read.ask(port_hosts, client, int(port))
    return configuration(name, [*unique(hosts), *unknown(read)]) if hosts else None


def port_hosts(read: Reader, client: Client, port: int) -> tuple[Host, ...]:
    """The virtual hosts of a port."""
    hostnames = read.ask(ports_seen, client.namespace).get(port, ())
    found = [read.ask(service_host, client, hostname, port) for hostname in hostnames]
    if port == HTTP_PORT:
        found.extend(read.ask(other_hosts, client))
    return tuple(each for each in found if each is not None)


def service_host(read: Reader, client: Client, hostname: str, port: int) -> Host | None:
    """The virtual host of a service port; None if it is not HTTP."""
    service = read.service(hostname)
    found = service.port(port) if service else None
    if service is None or found is None or not (found.protocol.is_http or found.protocol is Protocol.AUTO):
        return None
    content, sources = read.ask(service_content, client, hostname, port)
    known = names_in(hostname, client.namespace)
    if service.resolution is Resolution.PASSTHROUGH and not (service.mesh_external or is_wildcard(hostname)):
        known = (*known, *(f"*.{each}" for each in known))
    addresses = (each for each in service.addresses if "/" not in each)
    return Host(f"{hostname}:{port}", (*known, *addresses), content, sources)


def service_content(
    read: Reader, client: Client, hostname: str, port: int
) -> tuple[bytes, tuple[ObjectKey, ...]]:
    """The virtual host of a service port without its names, and the objects that it comes from."""
    for key in read.ask(routing_rules, client.namespace, hostname):
        ruled = read.ask(routes_of, key, Place(client, port))
        if ruled.routes:
            return host("", (), ruled.routes).content, (*origins(read, hostname), *ruled.origins)
    rules = read.ask(destination_rules, client, hostname)
    return read.ask(default_content, client if rules else None, hostname, port), (
        *origins(read, hostname),
        *(rules if rules else ()),
    )


def default_content(read: Reader, client: Client | None, hostname: str, port: int) -> bytes:
    """The one route of a service without rules; the same for all clients without a DestinationRule."""
    hashed = client and consistent_hash(read, client, hostname, port, "")
    route = default_route(names.outbound(port, hostname), names.operation(hostname, port))
    offer(read, route, client, hostname, port)
    route.route.hash_policy.extend(hash_policy(hashed or None))
    policy = retry_policy(None, hashed=bool(hashed))
    if policy is not None:
        route.route.retry_policy.CopyFrom(policy)
    return host("", (), (route,)).content


def default_route(cluster: str, operation: str = "", *, name: str = "default") -> route_components_pb2.Route:
    """Everything to one cluster, however long it takes."""
    route = Route(name=name, match=RouteMatch(prefix="/"))
    route.route.cluster = cluster
    time_out(route.route, None)
    if operation:
        route.decorator.operation = operation
    return route


def other_hosts(read: Reader, client: Client) -> tuple[Host, ...]:
    """Virtual hosts of rules whose hosts are no services."""
    return tuple(_other_hosts(read, client))


def _other_hosts(read: Reader, client: Client) -> Iterator[Host]:
    default = read.mesh.default_virtual_service_export_to
    for rule in read.sidecar_rules():
        hosts = [full(each, rule.namespace) for each in rule.spec.hosts]
        unknown_ones = [each for each in hosts if not sees(read, client.namespace, each)]
        if not unknown_ones or not rule.spec.http or not exported(rule, default, client.namespace):
            continue
        ruled = read.ask(routes_of, rule.key, Place(client, HTTP_PORT))
        if ruled.routes:
            for each in unknown_ones:
                yield host(f"{each}:{HTTP_PORT}", (each,), ruled.routes, origins=ruled.origins)


def sniffed(read: Reader, client: Client, hostname: str, port: int) -> Resource | None:
    """The routes of one service whose protocol is found out: its own address leads here, so any host fits."""
    if not sees(read, client.namespace, hostname):
        return None
    found = read.ask(service_host, client, hostname, port)
    if found is None:
        return None
    only = Host(found.name, ("*",), found.content, found.origins)
    return configuration(names.sniffed_route(hostname, port), (only,))


def unknown(read: Reader) -> tuple[Host, ...]:
    """What becomes of requests to hosts that nobody knows: on to where they went, or refused."""
    if read.mesh.outbound_traffic_policy.mode == "ALLOW_ANY":
        route = default_route(names.PASSTHROUGH, name="allow_any")
        return (host("allow_any", ("*",), (route,)),)
    refused = Route(name="block_all", match=RouteMatch(prefix="/"))
    refused.direct_response.status = 502
    return (host("block_all", ("*",), (refused,)),)
