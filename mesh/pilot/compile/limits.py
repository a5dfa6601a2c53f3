"""DestinationRule's connection pool and outlier detection as Envoy's circuit breakers and ejection."""

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from mesh.api.networking.connections import (
    ConnectionPoolSettings,
    HTTPSettings,
    OutlierDetection,
    TcpKeepalive,
    TCPSettings,
)
from mesh.pilot.compile.messages import number, seconds

UNLIMITED = 2**32 - 1
"""Without a limit of the user's there is none: Envoy's own would be 1,024."""


def limit(cluster: cluster_pb2.Cluster, pool: ConnectionPoolSettings | None) -> None:
    """Set the limits and timeouts of a cluster's connections."""
    tcp = (pool.tcp if pool else None) or TCPSettings()
    http = (pool.http if pool else None) or HTTPSettings()
    cluster.circuit_breakers.thresholds.append(
        circuit_breaker_pb2.CircuitBreakers.Thresholds(
            max_connections=number(tcp.max_connections or UNLIMITED),
            max_pending_requests=number(http.http1_max_pending_requests or UNLIMITED),
            max_requests=number(http.http2_max_requests or UNLIMITED),
            max_retries=number(http.max_retries or UNLIMITED),
            track_remaining=True,
        )
    )
    if tcp.connect_timeout is not None:
        cluster.connect_timeout.CopyFrom(seconds(tcp.connect_timeout))
    if tcp.tcp_keepalive is not None:
        cluster.upstream_connection_options.tcp_keepalive.CopyFrom(keepalive(tcp.tcp_keepalive))


def keepalive(settings: TcpKeepalive) -> address_pb2.TcpKeepalive:
    """Probes of idle connections."""
    result = address_pb2.TcpKeepalive()
    if settings.probes:
        result.keepalive_probes.value = settings.probes
    if settings.time:
        result.keepalive_time.value = round(settings.time)
    if settings.interval:
        result.keepalive_interval.value = round(settings.interval)
    return result


def common_options(pool: ConnectionPoolSettings | None) -> protocol_pb2.HttpProtocolOptions | None:
    """Options of HTTP connections to the hosts; None if none are set."""
    result = protocol_pb2.HttpProtocolOptions()
    http, tcp = (pool.http, pool.tcp) if pool else (None, None)
    if http and http.idle_timeout is not None:
        result.idle_timeout.CopyFrom(seconds(http.idle_timeout))
    if http and http.max_requests_per_connection:
        result.max_requests_per_connection.value = http.max_requests_per_connection
    if tcp and tcp.max_connection_duration is not None:
        result.max_connection_duration.CopyFrom(seconds(tcp.max_connection_duration))
    return result if result.ByteSize() else None


def eject(cluster: cluster_pb2.Cluster, settings: OutlierDetection | None) -> None:
    """Set when a host that fails is left out. Without a word of it, none is."""
    if settings is None:
        return
    ejection = cluster.outlier_detection
    ejection.enforcing_success_rate.value = 0
    errors = settings.consecutive_5xx_errors
    consecutive = settings.consecutive_errors if errors is None else errors
    if consecutive is not None:
        ejection.consecutive_5xx.value = consecutive
        ejection.enforcing_consecutive_5xx.value = enforcing(consecutive)
    if settings.consecutive_gateway_errors is not None:
        ejection.consecutive_gateway_failure.value = settings.consecutive_gateway_errors
        ejection.enforcing_consecutive_gateway_failure.value = enforcing(settings.consecutive_gateway_errors)
    local_errors(ejection, settings)
    times(ejection, settings)
    cluster.common_lb_config.healthy_panic_threshold.value = settings.min_health_percent or 0


def enforcing(errors: int) -> int:
    """0 errors turn a check off."""
    return 100 if errors else 0


def local_errors(ejection: outlier_detection_pb2.OutlierDetection, settings: OutlierDetection) -> None:
    """Count errors of the connection apart from those that the host answered."""
    if not settings.split_external_local_origin_errors:
        return
    ejection.split_external_local_origin_errors = True
    if settings.consecutive_local_origin_failures:
        ejection.consecutive_local_origin_failure.value = settings.consecutive_local_origin_failures
        ejection.enforcing_consecutive_local_origin_failure.value = 100
    ejection.enforcing_local_origin_success_rate.value = 0


def times(ejection: outlier_detection_pb2.OutlierDetection, settings: OutlierDetection) -> None:
    """How often is looked, for how long a host is out, and how many at the most."""
    if settings.interval is not None:
        ejection.interval.CopyFrom(seconds(settings.interval))
    if settings.base_ejection_time is not None:
        ejection.base_ejection_time.CopyFrom(seconds(settings.base_ejection_time))
    if settings.max_ejection_percent:
        ejection.max_ejection_percent.CopyFrom(UInt32Value(value=settings.max_ejection_percent))
