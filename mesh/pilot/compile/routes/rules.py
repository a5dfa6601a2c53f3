"""VirtualServices as lists of Envoy's routes.

Source: Istio's reference of VirtualService and how Istio itself translates it: routes in order, the first
match wins; what follows a match of everything is left out; of several destinations those of weight 0 are
left out; a destination without a port is at the service's only port, else at the port that was called.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2
from google.protobuf.duration_pb2 import Duration

from mesh.api.networking.destinations import Destination, HTTPRouteDestination
from mesh.api.networking.matches import HTTPMatchRequest
from mesh.api.networking.routes import HTTPRoute
from mesh.model import ConfigObject, ObjectKey
from mesh.pilot.compile import metadata, names
from mesh.pilot.compile.destination import consistent_hash
from mesh.pilot.compile.messages import seconds
from mesh.pilot.compile.routes import answers, filters
from mesh.pilot.compile.routes.hashing import hash_policy
from mesh.pilot.compile.routes.headers import authority, operate
from mesh.pilot.compile.routes.match import Place, concerns, envoy_match, matches_all
from mesh.pilot.compile.routes.offers import offer
from mesh.pilot.compile.routes.retries import retry_policy
from mesh.pilot.compile.routes.texts import share
from mesh.pilot.hosts import full
from mesh.pilot.reader import Reader
from mesh.pilot.visibility import destination_rules

Route = route_components_pb2.Route
RouteAction = route_components_pb2.RouteAction
WeightedCluster = route_components_pb2.WeightedCluster


@dataclass(frozen=True, slots=True)
class Ruled:
    """The routes that a rule gives at a place, and all objects that went into them."""

    routes: tuple[route_components_pb2.Route, ...] = ()
    origins: tuple[ObjectKey, ...] = ()


def routes_of(read: Reader, key: ObjectKey, place: Place) -> Ruled:
    """The routes of a VirtualService at a place; none if none of its matches concerns it."""
    rule = read.object(key)
    if rule is None:
        return Ruled()
    routes = tuple(until_all_matched(every(read, rule, place)))
    hosts = {full(each.destination.host, rule.namespace) for http in rule.spec.http for each in http.route}
    rules = (each for host in sorted(hosts) for each in read.ask(destination_rules, place.client, host))
    return Ruled(routes, (key, *dict.fromkeys(rules)) if routes else ())


def until_all_matched(routes: Iterator[route_components_pb2.Route]) -> Iterator[route_components_pb2.Route]:
    """The routes that can be reached."""
    for each in routes:
        yield each
        if matches_all(each.match):
            return


def every(read: Reader, rule: ConfigObject, place: Place) -> Iterator[route_components_pb2.Route]:
    """One route for each match that concerns the place."""
    for http in rule.spec.http:
        if not http.match:
            yield route(read, rule, http, None, place)
        for match in http.match:
            if concerns(match, place, rule.namespace):
                yield route(read, rule, http, match, place)


def route(
    read: Reader, rule: ConfigObject, http: HTTPRoute, match: HTTPMatchRequest | None, place: Place
) -> route_components_pb2.Route:
    """One route."""
    result = Route(
        name=f"{http.name}.{match.name}" if match and match.name else http.name,
        match=envoy_match(match),
        metadata=metadata.of(config=rule.key),
        stat_prefix=match.stat_prefix if match else "",
    )
    operate(result, http.headers)
    if http.redirect is not None:
        result.redirect.CopyFrom(answers.redirect(http.redirect, place.port, tls=place.tls))
    elif http.direct_response is not None:
        result.direct_response.CopyFrom(answers.direct_response(http.direct_response))
    else:
        forward(read, result, rule, http, place)
    result.decorator.operation = operation(result, rule.name, place.port)
    filters.configure(result, http.fault, http.cors_policy)
    return result


# Where requests go


def forward(
    read: Reader, result: route_components_pb2.Route, rule: ConfigObject, http: HTTPRoute, place: Place
) -> None:
    """Send requests on: to destinations, rewritten, copied, tried again."""
    action = result.route
    time_out(action, http.timeout)
    rewrite(action, http)
    mirror(read, action, rule, http, place)
    if len(http.route) == 1:
        single(read, result, rule, http.route[0], place)
    else:
        weigh(read, action, rule, http, place)
    hashed = len(http.route) == 1 and bool(action.hash_policy)
    policy = retry_policy(http.retries, hashed=hashed)
    if policy is not None:
        action.retry_policy.CopyFrom(policy)


def time_out(action: route_components_pb2.RouteAction, timeout: float | None) -> None:
    """Set the timeout of whole requests; without one, gRPC callers may still set their own by their header.

    The limit for that header is not set beside a timeout: Envoy would pass over the timeout.
    """
    action.timeout.CopyFrom(seconds(timeout or 0))
    if not timeout:
        action.max_stream_duration.grpc_timeout_header_max.CopyFrom(Duration())


def rewrite(action: route_components_pb2.RouteAction, http: HTTPRoute) -> None:
    """Set what path and authority become."""
    wanted = http.rewrite.authority if http.rewrite else None
    host = wanted or authority(http.headers)
    if host:
        action.host_rewrite_literal = host
    if http.rewrite is None:
        return
    if http.rewrite.uri_regex_rewrite is not None:
        action.regex_rewrite.pattern.regex = http.rewrite.uri_regex_rewrite.match
        action.regex_rewrite.substitution = http.rewrite.uri_regex_rewrite.rewrite
    elif http.rewrite.uri:
        action.prefix_rewrite = http.rewrite.uri


def mirror(
    read: Reader,
    action: route_components_pb2.RouteAction,
    rule: ConfigObject,
    http: HTTPRoute,
    place: Place,
) -> None:
    """Send copies elsewhere."""
    copies = [(each.destination, share(each.percentage)) for each in http.mirrors]
    if http.mirror is not None:
        copies.append((http.mirror, share(http.mirror_percentage, http.mirror_percent)))
    for destination, part in copies:
        if part is not None:
            action.request_mirror_policies.add(
                cluster=cluster_of(read, destination, rule.namespace, place.port), runtime_fraction=part
            )


def single(
    read: Reader,
    result: route_components_pb2.Route,
    rule: ConfigObject,
    to: HTTPRouteDestination,
    place: Place,
) -> None:
    """Send all to one destination."""
    result.route.cluster = cluster_of(read, to.destination, rule.namespace, place.port)
    offer_to(read, result, result.route.cluster, place)
    operate(result, to.headers)
    host = authority(to.headers)
    if host and not result.route.WhichOneof("host_rewrite_specifier"):
        result.route.host_rewrite_literal = host
    result.route.hash_policy.extend(hash_of(read, to.destination, rule.namespace, place))


def weigh(
    read: Reader, action: route_components_pb2.RouteAction, rule: ConfigObject, http: HTTPRoute, place: Place
) -> None:
    """Share requests out among several destinations."""
    for to in (each for each in http.route if each.weight):
        weighted = action.weighted_clusters.clusters.add(
            name=cluster_of(read, to.destination, rule.namespace, place.port)
        )
        weighted.weight.value = to.weight
        offer_to(read, weighted, weighted.name, place)
        operate(weighted, to.headers)
        host = authority(to.headers)
        if host:
            weighted.host_rewrite_literal = host
        action.hash_policy.extend(hash_of(read, to.destination, rule.namespace, place))


def cluster_of(read: Reader, destination: Destination, namespace: str, port: int) -> str:
    """The cluster of a destination."""
    hostname = full(destination.host, namespace)
    number = destination_port(read, destination, hostname, port)
    return names.outbound(number, hostname, destination.subset or "")


def offer_to(read: Reader, route: Route | WeightedCluster.ClusterWeight, cluster: str, place: Place) -> None:
    """Have a cluster of unknown protocol offer HTTP."""
    called = names.ClusterName.parse(cluster)
    if called is not None:
        offer(read, route, place.client, called.hostname, called.port, called.subset)


def destination_port(read: Reader, destination: Destination, hostname: str, port: int) -> int:
    """The port that is meant: the one named, the service's only one, or the one that was called."""
    if destination.port is not None:
        return destination.port.number
    service = read.service(hostname)
    return service.ports[0].number if service and len(service.ports) == 1 else port


def hash_of(
    read: Reader, destination: Destination, namespace: str, place: Place
) -> list[route_components_pb2.RouteAction.HashPolicy]:
    """By what requests to a destination are hashed."""
    hostname = full(destination.host, namespace)
    number = destination_port(read, destination, hostname, place.port)
    return hash_policy(consistent_hash(read, place.client, hostname, number, destination.subset or ""))


def operation(result: route_components_pb2.Route, name: str, port: int) -> str:
    """What the route is called in traces."""
    path = result.match.path or result.match.safe_regex.regex or f"{result.match.prefix}*"
    cluster = names.ClusterName.parse(result.route.cluster)
    if cluster is not None:
        return names.operation(cluster.hostname, cluster.port, path)
    return names.operation(name, port, path)
