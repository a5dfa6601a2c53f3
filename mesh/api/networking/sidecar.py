"""Sidecar: what the proxies of some workloads take in, and what they know of the mesh.

Source: Istio's reference of networking.istio.io/v1 Sidecar; every field is named as there.
"""

import re
from collections.abc import Iterator
from typing import Literal

from mesh.api.base import Model, Port, host
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.connections import ConnectionPoolSettings
from mesh.api.networking.destinations import Destination
from mesh.api.networking.gateway import ServerTLSSettings
from mesh.api.networking.service_entry import ServicePort
from mesh.api.networking.workload import UNIX, WorkloadSelector, is_ip

_NAMESPACE = re.compile(r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|\*|\.|~)\Z")
CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class SidecarPort(ServicePort):
    """A port of a listener."""

    name: str = ""

    @check
    def _content(self) -> Iterator[Fault]:
        yield from ()


class IstioIngressListener(Model):
    """A port on which traffic for the workload comes in, and where it goes from there."""

    port: SidecarPort
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    default_endpoint: str = ""
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None

    @check
    def _endpoint(self) -> Iterator[Fault]:
        text = self.default_endpoint
        if not text or text.startswith(UNIX):
            return
        address, _, number = text.rpartition(":")
        local = is_ip(address.strip("[]"))
        if not local or not number.isdecimal() or not 0 < int(number[:6]) < 65536:
            remedy = "write 127.0.0.1:PORT, 0.0.0.0:PORT or unix:///PATH"
            yield Fault("defaultEndpoint", f"{text!r} is no endpoint of this workload", remedy)


class IstioEgressListener(Model):
    """What the workload may reach: `NAMESPACE/HOST`, either `*`; `./` is its own namespace, `~/` none."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    hosts: tuple[str, ...]

    @check
    def _hosts(self) -> Iterator[Fault]:
        if not self.hosts:
            yield Fault(
                "hosts", "is empty", "write '*/*' for all, './*' for the own namespace, '~/*' for none"
            )
        for index, each in enumerate(self.hosts):
            namespace, slash, name = each.rpartition("/")
            if not slash or not _NAMESPACE.match(namespace):
                yield Fault(
                    f"hosts[{index}]", f"{each!r} is not NAMESPACE/HOST", "write it like istio-system/*"
                )
                continue
            try:
                host(name)
            except ValueError as error:
                yield Fault(f"hosts[{index}]", str(error))


class OutboundTrafficPolicy(Model):
    """What becomes of traffic to hosts that nobody knows."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None


class Sidecar(Model):
    """For the workloads of `workloadSelector`, or for the namespace; in the root namespace for the mesh."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None

    @check
    def _ports(self) -> Iterator[Fault]:
        numbers: list[Port] = [each.port.number for each in self.ingress]
        for index, number in enumerate(numbers):
            if number in numbers[:index]:
                yield Fault(f"ingress[{index}].port.number", f"{number} stands twice", "one listener a port")

    @check
    def _last(self) -> Iterator[Fault]:
        for index, each in enumerate(self.egress[:-1]):
            if each.port is None:
                yield Fault(f"egress[{index}]", "has no port, so none after it is used", "put it last")

    @advise
    def _ingress(self) -> Iterator[Fault]:
        if self.ingress and not self.workload_selector:
            remedy = "add workloadSelector"
            yield Fault("ingress", "holds for every workload of the namespace", remedy)
