"""The filters that handle plain TCP, and rules for it: weighted destinations, matches on port and subnet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.core.v3 import address_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from mesh.api.networking.destinations import RouteDestination
from mesh.api.networking.matches import L4MatchAttributes
from mesh.model import ConfigObject, ObjectKey
from mesh.pilot.compile import reports
from mesh.pilot.compile.listeners.access_logs import tcp_logs
from mesh.pilot.compile.messages import packed
from mesh.pilot.compile.routes.match import Place, concerns
from mesh.pilot.compile.routes.rules import cluster_of
from mesh.pilot.reader import Reader
from mesh.pilot.reporting import Logs

Filter = listener_components_pb2.Filter
FilterChain = listener_components_pb2.FilterChain
FilterChainMatch = listener_components_pb2.FilterChainMatch
TcpProxy = tcp_proxy_pb2.TcpProxy
NAME = "envoy.filters.network.tcp_proxy"

Weighted = tuple[tuple[str, int], ...]
"""Clusters with their shares."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the connections of one match go; `origins` are the rules that say so."""

    clusters: Weighted
    subnets: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    origins: tuple[ObjectKey, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether it takes all connections."""
        return not (self.subnets or self.server_names)


def proxy(logs: Logs, stat_prefix: str, clusters: Weighted) -> listener_components_pb2.Filter:
    """Pass bytes on, to one cluster or to several by their shares."""
    config = TcpProxy(
        stat_prefix=stat_prefix, access_log=tcp_logs(logs), access_log_options=reports.options(logs)
    )
    if len(clusters) == 1:
        config.cluster = clusters[0][0]
    else:
        for name, weight in clusters:
            config.weighted_clusters.clusters.add(name=name, weight=weight)
    return Filter(name=NAME, typed_config=packed(config))


def to(logs: Logs, cluster: str) -> listener_components_pb2.Filter:
    """Pass bytes on to one cluster."""
    return proxy(logs, cluster, ((cluster, 1),))


def chain(logs: Logs, way: Way, name: str = "") -> listener_components_pb2.FilterChain:
    """The chain of filters for one way."""
    result = FilterChain(name=name, filters=[proxy(logs, way.clusters[0][0], way.clusters)])
    for subnet in way.subnets:
        result.filter_chain_match.prefix_ranges.append(cidr(subnet))
    if way.server_names:
        result.filter_chain_match.server_names.extend(way.server_names)
        result.filter_chain_match.transport_protocol = "tls"
    return result


def cidr(text: str) -> address_pb2.CidrRange:
    """A subnet, or one address."""
    address, _, length = text.partition("/")
    result = address_pb2.CidrRange(address_prefix=address)
    result.prefix_len.value = int(length) if length else (128 if ":" in address else 32)
    return result


# Rules


def tcp_ways(read: Reader, rule: ConfigObject, place: Place) -> Iterator[Way]:
    """What a VirtualService says of TCP connections at a place, up to the first match of everything."""
    for each in rule.spec.tcp:
        subnets = list(matching(each.match, place, rule.namespace))
        if subnets:
            clusters = shares(read, rule, each.route, place)
            all_of_them = () if () in subnets else tuple(s for some in subnets for s in some)
            yield Way(clusters, all_of_them, origins=(rule.key,))
            if not all_of_them:
                return


def tls_ways(read: Reader, rule: ConfigObject, place: Place) -> Iterator[Way]:
    """What a VirtualService says of TLS connections at a place, by the name that the caller asks for."""
    for each in rule.spec.tls:
        for match in each.match:
            if concerns(match, place, rule.namespace):
                clusters = shares(read, rule, each.route, place)
                yield Way(clusters, match.destination_subnets, match.sni_hosts, (rule.key,))


def matching(matches: Iterable[L4MatchAttributes], place: Place, namespace: str) -> Iterator[tuple[str, ...]]:
    """The subnets of each match that concerns the place; an empty one takes everything."""
    every = tuple(matches)
    if not every:
        yield ()
    for match in every:
        if concerns(match, place, namespace):
            yield match.destination_subnets


def shares(
    read: Reader, rule: ConfigObject, destinations: tuple[RouteDestination, ...], place: Place
) -> Weighted:
    """The clusters of destinations with their shares; those of weight 0 get nothing."""
    chosen = [each for each in destinations if each.weight or len(destinations) == 1]
    return tuple(
        (cluster_of(read, each.destination, rule.namespace, place.port), each.weight or 1) for each in chosen
    )
