"""Limits of the connections and requests to a destination, and when an instance is left out.

Source: Istio's reference of networking.istio.io/v1 DestinationRule; every field is named as there.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from mesh.api.base import Count, Duration, Model, Percentage, PositiveDuration
from mesh.api.checks import Fault, advise, check


class TcpKeepalive(Model):
    """Keepalive probes of TCP."""

    probes: Count | None = None
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(Model):
    """Limits of connections."""

    max_connections: Count | None = None
    connect_timeout: PositiveDuration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


class HTTPSettings(Model):
    """Limits of requests."""

    http1_max_pending_requests: Count | None = None
    http2_max_requests: Count | None = None
    max_requests_per_connection: Count | None = None
    max_retries: Count | None = None
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = None
    use_client_protocol: bool | None = None
    max_concurrent_streams: Count | None = None

    @check
    def _protocol(self) -> Iterator[Fault]:
        if self.use_client_protocol and self.h2_upgrade_policy == "UPGRADE":
            yield Fault("useClientProtocol", "contradicts h2UpgradePolicy UPGRADE", "leave one out")


class ConnectionPoolSettings(Model):
    """Limits of what is open at a time."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Model):
    """Instances that fail are left out for a time."""

    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: Count | None = None
    consecutive_gateway_errors: Count | None = None
    consecutive_5xx_errors: Count | None = Field(None, alias="consecutive5xxErrors")
    consecutive_errors: Count | None = None  # the older name of consecutive5xxErrors
    interval: PositiveDuration | None = None
    base_ejection_time: PositiveDuration | None = None
    max_ejection_percent: Percentage | None = None
    min_health_percent: Percentage | None = None

    @advise
    def _older(self) -> Iterator[Fault]:
        if self.consecutive_errors is not None:
            yield Fault("consecutiveErrors", "is the older name", "write consecutive5xxErrors")
