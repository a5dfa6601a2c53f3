"""EnvoyFilter: changes to what Pilot generates, in Envoy's own words.

Source: Istio's reference of networking.istio.io/v1alpha3 EnvoyFilter; every field is named as there.
"""

from collections.abc import Iterator
from typing import Any, Literal

from mesh.api.base import Model, Port
from mesh.api.checks import Fault, check
from mesh.api.networking.workload import WorkloadSelector
from mesh.api.selector import PolicyTargetReference

ApplyTo = Literal[
    "INVALID", "LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST", "HTTP_ROUTE", "CLUSTER", "EXTENSION_CONFIG", "BOOTSTRAP", "LISTENER_FILTER",
]  # fmt: skip


class ProxyMatch(Model):
    """Which proxies."""

    proxy_version: str = ""
    metadata: dict[str, str] = {}


class ClusterMatch(Model):
    """Which clusters."""

    port_number: Port | None = None
    service: str = ""
    subset: str = ""
    name: str = ""


class Named(Model):
    """Something by its name."""

    name: str = ""


class RouteMatch(Named):
    """Which routes of a virtual host."""

    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] = "ANY"


class VirtualHostMatch(Named):
    """Which virtual hosts."""

    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(Named):
    """Which route configurations."""

    port_number: Port | None = None
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None


class FilterMatch(Named):
    """Which filters."""

    sub_filter: Named | None = None


class FilterChainMatch(Named):
    """Which filter chains."""

    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: Port | None = None


class ListenerMatch(Named):
    """Which listeners."""

    port_number: Port | None = None
    port_name: str = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""


class EnvoyConfigObjectMatch(Model):
    """What is changed."""

    context: Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"] = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None


class Patch(Model):
    """How."""

    operation: Literal[
        "INVALID", "MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"
    ] = "INVALID"
    value: dict[str, Any] | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"


class EnvoyConfigObjectPatch(Model):
    """One change."""

    apply_to: ApplyTo = "INVALID"
    match: EnvoyConfigObjectMatch | None = None
    patch: Patch | None = None

    @check
    def _content(self) -> Iterator[Fault]:
        if self.apply_to == "INVALID":
            yield Fault("applyTo", "is missing", "say what is changed, as HTTP_FILTER or CLUSTER")
        if self.patch is None or self.patch.operation == "INVALID":
            yield Fault("patch.operation", "is missing", "write MERGE, ADD, REMOVE or another operation")
        elif self.patch.operation != "REMOVE" and not self.patch.value:
            yield Fault("patch.value", f"is missing, which {self.patch.operation} needs")


class EnvoyFilter(Model):
    """Changes in the order of `priority`, for the workloads of the selector or all of the namespace."""

    workload_selector: WorkloadSelector | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    config_patches: tuple[EnvoyConfigObjectPatch, ...] = ()
    priority: int = 0

    @check
    def _target(self) -> Iterator[Fault]:
        if self.workload_selector and self.target_refs:
            yield Fault("", "only one of workloadSelector, targetRefs may be set")
