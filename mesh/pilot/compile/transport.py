"""The one place that makes transport sockets. The mesh speaks plain text for now; mutual TLS comes here."""

from envoy.config.core.v3 import base_pb2

from mesh.api.networking.destination_rule import ClientTLSSettings


def upstream(hostname: str, tls: ClientTLSSettings | None) -> base_pb2.TransportSocket | None:
    """How a caller's Envoy connects to a service; None is plain text."""
    del hostname, tls
    return None


def downstream(port: int) -> base_pb2.TransportSocket | None:
    """What a sidecar demands of who connects to a port of its workload; None is plain text."""
    del port
    return None
