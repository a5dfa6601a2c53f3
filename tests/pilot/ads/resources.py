"""Real Envoy resources, small: clusters with EDS, endpoints, an HTTP listener with RDS, routes."""

import hashlib

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, config_source_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message

from mesh.model import ObjectKey
from mesh.pilot.types import CDS, EDS, LDS, RDS, Resource

ADS = config_source_pb2.ConfigSource(
    ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.ApiVersion.V3
)


def packed(message: Message) -> any_pb2.Any:
    out = any_pb2.Any()
    out.Pack(message)
    return out


def prepared(
    type_url: str,
    name: str,
    message: Message,
    waits_for: frozenset[tuple[str, str]] = frozenset(),
    origins: tuple[ObjectKey, ...] = (),
) -> Resource:
    payload = message.SerializeToString(deterministic=True)
    version = hashlib.blake2b(payload, digest_size=8).hexdigest()
    return Resource(
        name=name, type_url=type_url, version=version, payload=payload, origins=origins, waits_for=waits_for
    )


def socket(port: int, address: str = "127.0.0.1") -> address_pb2.Address:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


def cluster(name: str, *, connect_timeout_ms: int = 1000) -> Resource:
    """A cluster whose endpoints come by EDS."""
    message = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ADS),
    )
    message.connect_timeout.FromMilliseconds(connect_timeout_ms)
    return prepared(CDS, name, message, frozenset({(EDS, name)}))


def bad_cluster(name: str) -> Resource:
    """A cluster that Envoy refuses: it has no way to find its endpoints."""
    return prepared(CDS, name, cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS))


def endpoints(name: str, *ports: int) -> Resource:
    message = endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            endpoint_components_pb2.LocalityLbEndpoints(
                lb_endpoints=[
                    endpoint_components_pb2.LbEndpoint(
                        endpoint=endpoint_components_pb2.Endpoint(address=socket(port))
                    )
                    for port in ports
                ]
            )
        ],
    )
    return prepared(EDS, name, message)


def listener(name: str, route: str, *, port: int = 0, prefix: str = "test") -> Resource:
    """An HTTP listener on any free port of 127.0.0.1 whose routes come by RDS."""
    manager = http_connection_manager_pb2.HttpConnectionManager(
        stat_prefix=prefix,
        rds=http_connection_manager_pb2.Rds(config_source=ADS, route_config_name=route),
        http_filters=[
            http_connection_manager_pb2.HttpFilter(
                name="envoy.filters.http.router", typed_config=packed(router_pb2.Router())
            )
        ],
    )
    message = listener_pb2.Listener(
        name=name,
        address=socket(port),
        filter_chains=[
            listener_components_pb2.FilterChain(
                filters=[
                    listener_components_pb2.Filter(
                        name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
                    )
                ]
            )
        ],
    )
    return prepared(LDS, name, message, frozenset({(RDS, route)}))


def routes(name: str, cluster_name: str, *origins: ObjectKey, retries: bool = False) -> Resource:
    """All requests to one cluster."""
    action = route_components_pb2.RouteAction(cluster=cluster_name)
    if retries:
        action.retry_policy.retry_on = "connect-failure"
    message = route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=[
            route_components_pb2.VirtualHost(
                name="all",
                domains=["*"],
                routes=[
                    route_components_pb2.Route(
                        match=route_components_pb2.RouteMatch(prefix="/"),
                        route=action,
                    )
                ],
            )
        ],
    )
    return prepared(RDS, name, message, origins=origins)


def bad_routes(name: str, *origins: ObjectKey) -> Resource:
    """Routes that Envoy refuses: a virtual host without a domain."""
    message = route_pb2.RouteConfiguration(
        name=name, virtual_hosts=[route_components_pb2.VirtualHost(name="nowhere")]
    )
    return prepared(RDS, name, message, origins=origins)
