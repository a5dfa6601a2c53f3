"""DestinationRule: how callers treat a destination: subsets, load balancing, connections, ejection, TLS.

Source: Istio's reference of networking.istio.io/v1 DestinationRule; every field is named as there.
"""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from pydantic import Field

from mesh.api.base import (
    Count,
    Duration,
    HeaderName,
    Host,
    Model,
    Percentage,
    Port,
    PositiveDuration,
    at_most_one,
    exactly_one,
)
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.names import bad_export, bad_file, bad_label, bad_secret
from mesh.api.networking.virtual_service import PortSelector
from mesh.api.selector import WorkloadSelector, bad_labels

LARGEST_TABLE = 5_000_011  # Envoy's limit for Maglev


class SimpleLB(StrEnum):
    """Load balancers without parameters."""

    UNSPECIFIED = "UNSPECIFIED"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    LEAST_CONN = "LEAST_CONN"  # the older name of LEAST_REQUEST
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"


class HTTPCookie(Model):
    """A cookie to hash by; one is made when it is missing and `ttl` is set."""

    name: str
    path: str = ""
    ttl: Duration | None = None


class RingHash(Model):
    """Ring hash."""

    minimum_ring_size: Count = 1024


class MagLev(Model):
    """Maglev."""

    table_size: Count = 65537

    @check
    def _prime(self) -> None:
        size = self.table_size
        if not 2 <= size <= LARGEST_TABLE or any(size % each == 0 for each in range(2, math.isqrt(size) + 1)):
            raise ValueError(f"tableSize is {size}; it must be a prime number up to {LARGEST_TABLE}")


class ConsistentHash(Model):
    """The same key goes to the same instance."""

    http_header_name: HeaderName | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: Count | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        at_most_one(self, "ring_hash", "maglev")


class LocalityDistribute(Model):
    """From one locality to others, by weight; the weights of one origin add up to 100."""

    from_: str = ""
    to: dict[str, int] = {}

    model_config = {"alias_generator": lambda name: "from" if name == "from_" else name}

    @check
    def _sum(self) -> None:
        if self.to and sum(self.to.values()) != 100:
            raise ValueError(f"the weights in to add up to {sum(self.to.values())}, not to 100")


class LocalityFailover(Model):
    """From a region to another, when the first is unhealthy."""

    from_: str = ""
    to: str = ""

    model_config = {"alias_generator": lambda name: "from" if name == "from_" else name}


class LocalityLbSetting(Model):
    """Load balancing by locality."""

    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


class WarmupConfiguration(Model):
    """A new instance gets its share slowly."""

    duration: Duration
    minimum_percent: float | None = None
    aggression: float | None = None


class LoadBalancerSettings(Model):
    """Which instance gets the next request."""

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "simple", "consistent_hash")


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


class ClientTLSSettings(Model):
    """TLS towards the destination."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    credential_name: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    sni: str | None = None
    insecure_skip_verify: bool | None = None

    @check
    def _content(self) -> Iterator[Fault]:
        own = self.client_certificate and self.private_key
        if self.mode == "MUTUAL" and not (self.credential_name or own):
            yield Fault("", "mode MUTUAL needs clientCertificate and privateKey, or credentialName")
        if self.mode == "ISTIO_MUTUAL" and (
            self.credential_name or self.client_certificate or self.private_key
        ):
            yield Fault("", "mode ISTIO_MUTUAL takes the proxy's own certificate", "name no other")
        if self.credential_name and (self.client_certificate or self.private_key or self.ca_certificates):
            yield Fault("credentialName", "stands beside names of files", "use one way")

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_secret(self.credential_name, "credentialName")
        yield from bad_file(self.client_certificate, "clientCertificate")
        yield from bad_file(self.private_key, "privateKey")
        yield from bad_file(self.ca_certificates, "caCertificates")

    @advise
    def _unverified(self) -> Iterator[Fault]:
        if self.mode in {"SIMPLE", "MUTUAL"} and not (self.ca_certificates or self.credential_name):
            message = "the server's certificate is not verified"
            if not self.insecure_skip_verify:
                remedy = "set caCertificates or credentialName; insecureSkipVerify says that it is meant"
                yield Fault("", message, remedy)


class TunnelSettings(Model):
    """Connections go through a CONNECT or POST tunnel."""

    protocol: Literal["CONNECT", "POST"] = "CONNECT"
    target_host: str
    target_port: Port


class ProxyProtocol(Model):
    """PROXY protocol towards the destination."""

    version: Literal["V1", "V2"] = "V1"


class PolicyBase(Model):
    """What holds for a destination, a subset or a port alike."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class PortTrafficPolicy(PolicyBase):
    """What holds for one port; it replaces the destination's settings as a whole."""

    port: PortSelector | None = None


class RetryBudget(Model):
    """Retries as a share of the active requests."""

    percent: float | None = None
    min_retry_concurrency: Count | None = None


class TrafficPolicy(PolicyBase):
    """How a destination is treated."""

    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None

    @check
    def _ports(self) -> Iterator[Fault]:
        numbers = [each.port.number if each.port else 0 for each in self.port_level_settings]
        for index, number in enumerate(numbers):
            if not number:
                yield Fault(f"portLevelSettings[{index}].port", "is missing", "name the port: {number: ...}")
            elif number in numbers[:index]:
                yield Fault(f"portLevelSettings[{index}].port.number", f"{number} stands twice")


class Subset(Model):
    """A named part of a service's instances, by labels."""

    name: str
    labels: dict[str, str] = {}
    traffic_policy: TrafficPolicy | None = None

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_label(self.name, "name")
        yield from bad_labels(self.labels, "labels")


class DestinationRule(Model):
    """What callers need to know of a destination beside its address."""

    host: Host
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: WorkloadSelector | None = None

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_export(self.export_to)

    @check
    def _subsets(self) -> Iterator[Fault]:
        names = [subset.name for subset in self.subsets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield Fault("subsets", f"names {', '.join(twice)} more than once; a subset's name must be unique")

    @advise
    def _same_labels(self) -> Iterator[Fault]:
        for index, subset in enumerate(self.subsets):
            for other in self.subsets[:index]:
                if subset.labels and subset.labels == other.labels:
                    yield Fault(f"subsets[{index}]", f"has the labels of {other.name!r}", "leave one out")
