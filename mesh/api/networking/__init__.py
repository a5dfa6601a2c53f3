"""networking.istio.io: traffic rules."""

from mesh.api.networking.destination_rule import DestinationRule
from mesh.api.networking.gateway import Gateway
from mesh.api.networking.virtual_service import VirtualService

__all__ = ["DestinationRule", "Gateway", "VirtualService"]
