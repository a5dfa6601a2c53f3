"""Services, their instances and the workloads behind them."""

from dataclasses import dataclass
from enum import StrEnum

from mesh.model.config import ObjectKey
from mesh.model.labels import EMPTY, Labels
from mesh.model.locality import Locality
from mesh.model.protocol import Protocol


class Resolution(StrEnum):
    """How a caller's Envoy finds the instances (Istio: `Resolution` of a service)."""

    EDS = "EDS"  # Pilot sends the instances
    DNS = "DNS"  # Envoy resolves the host name: all addresses
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"  # Envoy resolves the host name: one address
    PASSTHROUGH = "PASSTHROUGH"  # the address that the caller chose (headless services, NONE)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service: the number that callers use, and what is spoken there."""

    number: int
    name: str = ""
    protocol: Protocol = Protocol.AUTO


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the mesh, whichever platform it came from.

    `hostname` is fully qualified (`forecast.weather.svc.cluster.local`). `addresses` are its virtual
    addresses; a headless service has none. `export_to` holds namespaces, `*`, `.` or `~`; empty is `*`.
    `origin` is the object of the platform that it was made from; `subject_alt_names` are the names that its
    servers' certificates have, if they are known apart from its instances.
    """

    hostname: str
    name: str
    namespace: str
    ports: tuple[Port, ...]
    addresses: tuple[str, ...] = ()
    resolution: Resolution = Resolution.EDS
    labels: Labels = EMPTY
    selector: Labels = EMPTY
    export_to: frozenset[str] = frozenset()
    mesh_external: bool = False
    subject_alt_names: tuple[str, ...] = ()
    origin: ObjectKey | None = None

    @property
    def headless(self) -> bool:
        """Whether callers see the instances' own addresses."""
        return not self.addresses

    def port(self, number: int) -> Port | None:
        """The port with that number, or None."""
        return next((port for port in self.ports if port.number == number), None)


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs somewhere and takes part in the mesh: a Pod, later a WorkloadEntry."""

    name: str
    namespace: str
    addresses: tuple[str, ...]
    labels: Labels = EMPTY
    service_account: str = "default"
    owner_kind: str = ""
    owner_name: str = ""
    node: str = ""
    locality: Locality = Locality()
    has_sidecar: bool = False
    ready: bool = True
    origin: ObjectKey | None = None

    @property
    def address(self) -> str:
        """Its first address."""
        return self.addresses[0]


@dataclass(frozen=True, slots=True)
class Instance:
    """One endpoint of one port of a service (behaviour M3).

    `port` is the number at the instance, `service_port` the number that callers use; `healthy` is the
    platform's readiness.
    """

    hostname: str
    service_port: int
    address: str
    port: int
    workload: Workload | None = None
    labels: Labels = EMPTY
    locality: Locality = Locality()
    service_account: str = ""
    weight: int = 1
    healthy: bool = True
