"""networking.istio.io: traffic rules."""

from mesh.api.networking.destination_rule import DestinationRule
from mesh.api.networking.envoy_filter import EnvoyFilter
from mesh.api.networking.gateway import Gateway
from mesh.api.networking.proxy_config import ProxyConfig
from mesh.api.networking.service_entry import ServiceEntry
from mesh.api.networking.sidecar import Sidecar
from mesh.api.networking.virtual_service import VirtualService
from mesh.api.networking.workload import WorkloadEntry, WorkloadGroup

__all__ = [
    "DestinationRule",
    "EnvoyFilter",
    "Gateway",
    "ProxyConfig",
    "ServiceEntry",
    "Sidecar",
    "VirtualService",
    "WorkloadEntry",
    "WorkloadGroup",
]
