"""networking.istio.io: traffic rules."""

from mesh.api.networking.destination_rule import DestinationRule
from mesh.api.networking.gateway import Gateway
from mesh.api.networking.service_entry import ServiceEntry
from mesh.api.networking.virtual_service import VirtualService
from mesh.api.networking.workload import WorkloadEntry, WorkloadGroup

__all__ = ["DestinationRule", "Gateway", "ServiceEntry", "VirtualService", "WorkloadEntry", "WorkloadGroup"]
