"""M1: which protocol a port's name or appProtocol means."""

import pytest

from mesh.model import Protocol

pytestmark = pytest.mark.behaviour("M1")


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("http", Protocol.HTTP),
        ("http-web", Protocol.HTTP),
        ("HTTP2-x", Protocol.HTTP2),
        ("grpc-api", Protocol.GRPC),
        ("grpc-web", Protocol.GRPC_WEB),
        ("grpc-web-front", Protocol.GRPC_WEB),
        ("https-admin", Protocol.HTTPS),
        ("tls", Protocol.TLS),
        ("tcp-db", Protocol.TCP),
        ("mongo", Protocol.MONGO),
        ("redis-cache", Protocol.REDIS),
        ("mysql", Protocol.MYSQL),
        ("udp-dns", Protocol.UDP),
        ("web", Protocol.AUTO),
        ("httpx", Protocol.AUTO),
        ("", Protocol.AUTO),
    ],
)
def test_a_ports_name_says_its_protocol(name: str, protocol: Protocol) -> None:
    assert Protocol.of_port(name) is protocol


@pytest.mark.parametrize(
    ("app_protocol", "protocol"),
    [
        ("http2", Protocol.HTTP2),
        ("kubernetes.io/h2c", Protocol.HTTP2),
        ("kubernetes.io/ws", Protocol.HTTP),
        ("kubernetes.io/wss", Protocol.HTTPS),
        ("example.com/unknown", Protocol.TCP),
    ],
)
def test_app_protocol_outranks_the_name(app_protocol: str, protocol: Protocol) -> None:
    assert Protocol.of_port("tcp-x", app_protocol) is protocol


def test_udp_transport_is_udp_whatever_the_name() -> None:
    assert Protocol.of_port("http", "", "UDP") is Protocol.UDP
