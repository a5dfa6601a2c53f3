"""DestinationRule: how callers treat a destination: subsets, load balancing, connections, ejection, TLS.

Source: Istio's reference of networking.istio.io/v1 DestinationRule; every field is named as there.
"""

from collections.abc import Iterator
from typing import Literal

from mesh.api.base import Count, Host, Model, Port
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.balancing import LoadBalancerSettings
from mesh.api.networking.client_tls import ClientTLSSettings
from mesh.api.networking.connections import ConnectionPoolSettings, OutlierDetection
from mesh.api.networking.destinations import PortSelector
from mesh.api.networking.names import bad_export, bad_label
from mesh.api.selector import WorkloadSelector, bad_labels


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
