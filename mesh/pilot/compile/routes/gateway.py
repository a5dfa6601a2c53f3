"""The routes of gateways: the VirtualServices that are bound to a Gateway, for the hosts that its servers
and they have in common.

Source: Istio's reference of Gateway, and how Istio merges rules: several VirtualServices for one host at a
gateway add up, oldest first, catch-all routes last.
"""

from collections.abc import Iterable

from envoy.config.route.v3 import route_components_pb2

from mesh.model import ConfigObject, ObjectKey
from mesh.pilot.compile.routes.match import Place, matches_all
from mesh.pilot.compile.routes.rules import routes_of
from mesh.pilot.compile.routes.virtual_hosts import Host, configuration, host
from mesh.pilot.compile.servers import Served, servers
from mesh.pilot.hosts import full, intersection
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope
from mesh.pilot.types import Resource
from mesh.pilot.visibility import exported


class Building:
    """A virtual host that grows as further rules turn up for it."""

    def __init__(self) -> None:
        self.routes: list[route_components_pb2.Route] = []
        self.origins: dict[ObjectKey, None] = {}
        self.tls_only = False


def gateway_routes(read: Reader, scope: Scope, name: str) -> Resource | None:
    """The route configuration of a gateway's HTTP port; None if it serves none of this name."""
    served = [
        each for each in read.ask(servers, scope.labels, scope.ports) if each.http and each.route_name == name
    ]
    if not served:
        return None
    hosts: dict[str, Building] = {}
    for each in served:
        add_server(read, scope, each, hosts)
    gateways = dict.fromkeys(each.gateway for each in served)
    return configuration(name, finished(hosts, served[0].number), gateways)


def add_server(read: Reader, scope: Scope, served: Served, hosts: dict[str, Building]) -> None:
    """Add what one server of a Gateway brings."""
    place = Place(scope.client, served.number, served.gateway_name, tls=served.tls)
    default = read.mesh.default_virtual_service_export_to
    for rule in read.bound(served.gateway_name):
        common = hosts_in_common(served, rule)
        if common and exported(rule, default, scope.client.namespace):
            ruled = read.ask(routes_of, rule.key, place)
            for each in common if ruled.routes else ():
                building = hosts.setdefault(each, Building())
                building.routes.extend(ruled.routes)
                building.origins.update(dict.fromkeys(ruled.origins))
    if served.redirects:
        for each in served.hosts_for(served.gateway.namespace):
            hosts.setdefault(each, Building()).tls_only = True


def hosts_in_common(served: Served, rule: ConfigObject) -> tuple[str, ...]:
    """The hosts that a server lets a rule have."""
    return intersection(
        (full(each, rule.namespace) for each in rule.spec.hosts), served.hosts_for(rule.namespace)
    )


def finished(hosts: dict[str, Building], number: int) -> Iterable[Host]:
    """The virtual hosts in order; without any, one that answers 404 to everything."""
    if not hosts:
        return [host(f"blackhole:{number}", ("*",), ())]
    return [
        host(
            f"{name}:{number}",
            (name,),
            sorted(building.routes, key=lambda each: matches_all(each.match)),
            origins=building.origins,
            tls_only=building.tls_only,
        )
        for name, building in sorted(hosts.items())
    ]
