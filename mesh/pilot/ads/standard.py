"""What every gRPC server offers besides its own: health and reflection, for `grpcurl` and probes."""

from typing import Any

from envoy.service.discovery.v3 import ads_pb2  # noqa: F401 - its descriptors are what reflection tells
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]


async def add_standard_services(server: Any, *names: str) -> None:
    """Add health (serving, for these services and as a whole) and reflection to an aio server."""
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    known = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(known, server)
