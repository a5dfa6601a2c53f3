"""telemetry.istio.io: what is told about traffic."""

from mesh.api.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
