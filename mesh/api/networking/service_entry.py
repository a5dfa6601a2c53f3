"""ServiceEntry: services that the platform does not know, outside the mesh or inside.

Source: Istio's reference of networking.istio.io/v1 ServiceEntry; every field is named as there.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from mesh.api.base import Host, Model, Port
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.names import bad_export
from mesh.api.networking.workload import UNIX, WorkloadEntry, WorkloadSelector, is_ip
from mesh.model import Protocol

SPOKEN = ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "MYSQL", "REDIS", "TCP", "TLS", "UDP")
LOOKED_UP = ("DNS", "DNS_ROUND_ROBIN")


class ServicePort(Model):
    """A port of the service; `targetPort` is the endpoints' where it differs."""

    number: Port
    protocol: str = ""
    name: str
    target_port: Port | None = None

    @check
    def _content(self) -> Iterator[Fault]:
        if self.protocol and self.protocol.upper() not in SPOKEN:
            yield Fault("protocol", f"is {self.protocol!r}", f"use one of {', '.join(SPOKEN)}")
        if not self.name:
            yield Fault("name", "is empty", "endpoints and rules refer to ports by their names")

    @property
    def speaks(self) -> Protocol:
        """The protocol as the model has it."""
        return Protocol.parse(self.protocol) or Protocol.TCP


class ServiceEntry(Model):
    """Hosts, their ports, and where their endpoints are found."""

    hosts: tuple[Host, ...]
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    endpoints: tuple[WorkloadEntry, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_export(self.export_to)

    @check
    def _hosts(self) -> Iterator[Fault]:
        if not self.hosts:
            yield Fault("hosts", "is empty", "name at least one host")
        for index, each in enumerate(self.hosts):
            if each == "*":
                yield Fault(f"hosts[{index}]", "'*' would take every host", "name a domain, as *.example.com")
            elif "*" in each and self.resolution not in {"NONE", "DYNAMIC_DNS"}:
                message = f"{each!r} is a wildcard, which resolution {self.resolution} cannot find"
                yield Fault(f"hosts[{index}]", message, "name one host, or use resolution NONE")
            elif each in self.hosts[:index]:
                yield Fault(f"hosts[{index}]", f"{each!r} stands twice", "leave one out")

    @check
    def _addresses(self) -> Iterator[Fault]:
        for index, each in enumerate(self.addresses):
            try:
                network = ipaddress.ip_network(each, strict=False)
            except ValueError:
                remedy = "write an IP address or a range like 10.0.0.0/8"
                yield Fault(f"addresses[{index}]", f"{each!r} is no address", remedy)
                continue
            if network.num_addresses > 1 and self.resolution not in {"NONE", "STATIC"}:
                message = f"{each!r} is a range, which resolution {self.resolution} cannot use"
                yield Fault(f"addresses[{index}]", message, "write one address, or use NONE or STATIC")

    @check
    def _ports(self) -> Iterator[Fault]:
        if not self.ports:
            yield Fault("ports", "is empty", "name at least one port")
        for field in ("number", "name"):
            for value, times in Counter(getattr(each, field) for each in self.ports).items():
                if times > 1:
                    yield Fault("ports", f"{field} {value!r} stands {times} times", "give each port its own")

    @check
    def _selector(self) -> Iterator[Fault]:
        if self.workload_selector and self.endpoints:
            yield Fault("", "only one of endpoints, workloadSelector may be set")
        if self.workload_selector and self.resolution not in {"STATIC", "DNS", "DNS_ROUND_ROBIN"}:
            yield Fault("resolution", f"is {self.resolution}, but workloads are selected", "write STATIC")

    @check
    def _endpoints(self) -> Iterator[Fault]:
        if self.endpoints and self.resolution in {"NONE", "DYNAMIC_DNS"}:
            message = f"have no meaning with resolution {self.resolution}"
            yield Fault("endpoints", message, "use STATIC or DNS, or leave them out")
        names = [port.name for port in self.ports]
        for index, endpoint in enumerate(self.endpoints):
            place = f"endpoints[{index}]"
            yield from (
                Fault(f"{place}.ports[{name}]", f"there is no port {name!r}", f"ports are {', '.join(names)}")
                for name in endpoint.ports
                if name not in names
            )
            yield from self._found(endpoint, f"{place}.address")

    def _found(self, endpoint: WorkloadEntry, place: str) -> Iterator[Fault]:
        """Whether the resolution can find an endpoint."""
        static = is_ip(endpoint.address) or endpoint.address.startswith(UNIX)
        if self.resolution == "STATIC" and endpoint.address and not static:
            yield Fault(place, f"{endpoint.address!r} is a name, but resolution is STATIC", "use DNS")
        if self.resolution in LOOKED_UP and endpoint.address.startswith(UNIX):
            yield Fault(place, f"{endpoint.address!r} is no name to look up", "use STATIC")

    @advise
    def _no_endpoints(self) -> Iterator[Fault]:
        if self.resolution == "STATIC" and not self.endpoints and not self.workload_selector:
            yield Fault(
                "endpoints", "there are none, so nobody can answer", "add some, or a workloadSelector"
            )

    @advise
    def _tcp_address(self) -> Iterator[Fault]:
        tcp = [port.name for port in self.ports if not (port.speaks.is_http or port.speaks.is_tls)]
        if tcp and not self.addresses and self.resolution in {"NONE", "DYNAMIC_DNS"}:
            message = f"there are none, so port {tcp[0]!r} takes the traffic of all addresses"
            yield Fault("addresses", message, "name the addresses, or give the port another number")
