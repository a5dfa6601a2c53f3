"""WorkloadEntry and WorkloadGroup: a workload outside the cluster, and what many of them have in common.

Source: Istio's references of networking.istio.io/v1 WorkloadEntry and WorkloadGroup; named as there.
"""

import ipaddress
from collections.abc import Iterator

from mesh.api.base import Count, Host, Model, Port, PositiveDuration, exactly_one, host
from mesh.api.checks import Fault, check
from mesh.api.selector import bad_labels

UNIX = "unix://"


class WorkloadEntry(Model):
    """One instance: its address (IP, host name or `unix://` path), ports by name, labels, and where it is."""

    address: str = ""
    ports: dict[str, Port] = {}
    labels: dict[str, str] = {}
    network: str = ""
    locality: str = ""
    weight: Count = 0
    service_account: str = ""

    @check
    def _address(self) -> Iterator[Fault]:
        if not self.address and not self.network:
            yield Fault("address", "is missing", "write an IP address, a host name or unix:///PATH")
        elif self.address.startswith(UNIX):
            yield from bad_socket(self)
        elif self.address and not is_ip(self.address):
            host(self.address)
            if "*" in self.address:
                yield Fault("address", f"{self.address!r} is a wildcard", "name one host")

    @check
    def _labels(self) -> Iterator[Fault]:
        yield from bad_labels(self.labels, "labels")


class WorkloadSelector(Model):
    """Workloads (Pods and WorkloadEntries) of the same namespace that have all these labels."""

    labels: dict[str, str] = {}

    @check
    def _labels(self) -> Iterator[Fault]:
        yield from bad_labels(self.labels, "labels")


class ObjectMeta(Model):
    """Labels and annotations that entries of a group get."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class HTTPHeader(Model):
    """A header of a probe."""

    name: str = ""
    value: str = ""


class HTTPHealthCheck(Model):
    """Healthy is an answer with a status of 200 to 399."""

    path: str = ""
    port: Port
    host: Host | None = None
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPHealthCheck(Model):
    """Healthy is a port that takes connections."""

    host: Host | None = None
    port: Port


class ExecHealthCheck(Model):
    """Healthy is a command that ends with 0."""

    command: tuple[str, ...] = ()


class GrpcHealthCheck(Model):
    """Healthy is what gRPC's health service says."""

    port: Port
    service: str = ""


class ReadinessProbe(Model):
    """How the agent finds out whether the workload is healthy; times in seconds."""

    initial_delay_seconds: Count = 0
    timeout_seconds: Count = 0
    period_seconds: Count = 0
    success_threshold: Count = 0
    failure_threshold: Count = 0
    http_get: HTTPHealthCheck | None = None
    tcp_socket: TCPHealthCheck | None = None
    exec: ExecHealthCheck | None = None
    grpc: GrpcHealthCheck | None = None
    interval: PositiveDuration | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "http_get", "tcp_socket", "exec", "grpc")


class WorkloadGroup(Model):
    """What workloads that register themselves have in common."""

    metadata: ObjectMeta | None = None
    template: WorkloadEntry
    probe: ReadinessProbe | None = None


def is_ip(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def bad_socket(entry: WorkloadEntry) -> Iterator[Fault]:
    """What is wrong with an entry behind a Unix socket."""
    path = entry.address.removeprefix(UNIX)
    if not path.startswith(("/", "@")):
        yield Fault("address", f"{entry.address!r} is not absolute", "write unix:///PATH")
    if entry.ports:
        yield Fault("ports", "have no meaning for a Unix socket", "leave them out")
