"""What probes and hooks do, against real servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pocketkube.node import handlers, probes
from pocketkube.node.handlers import HandlerError, Target
from tests import loops

pytestmark = pytest.mark.behaviour("H1")


async def execute(command: list[str]) -> tuple[int, bytes]:
    return (0, b"") if command == ["true"] else (1, b"it is not well\n")


def answering(status: str, handler: Any) -> str | None:
    """What a probe of a server that answers with `status` finds wrong."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"user-agent: kube-probe/" in request
        writer.write(status.encode() + b"\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def scenario() -> str | None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            container = {"name": "main", "ports": [{"name": "web", "containerPort": port}]}
            return await probes.attempt(handler, Target("127.0.0.1", container, execute))

    return loops.run(scenario())


HTTP = {"httpGet": {"path": "/healthz", "port": "web"}}


@pytest.mark.parametrize("status", ["HTTP/1.1 200 OK", "HTTP/1.0 302 Found"])
def test_success(status: str) -> None:
    assert answering(status, HTTP) is None


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("HTTP/1.1 503 Service Unavailable", "HTTP probe failed with statuscode: 503"),
        ("nonsense", "malformed HTTP response"),
    ],
)
def test_failure(status: str, problem: str) -> None:
    assert problem in (answering(status, HTTP) or "")


def attempt(handler: dict[str, Any]) -> str | None:
    return loops.run(probes.attempt(handler, Target("127.0.0.1", {"name": "main"}, execute)))


def test_nothing_listens() -> None:
    assert attempt({"httpGet": {"port": 1}}) == "Get 'http://127.0.0.1:1/': connection refused"
    assert attempt({"tcpSocket": {"port": 1}}) == "dial tcp 127.0.0.1:1: connection refused"


def test_a_port_by_a_name_that_the_container_does_not_have() -> None:
    assert attempt({"tcpSocket": {"port": "web"}}) == "container 'main' has no port named 'web'"


def test_commands() -> None:
    assert attempt({"exec": {"command": ["true"]}}) is None
    assert attempt({"exec": {"command": ["false"]}}) == "it is not well"


def test_a_slow_handler_fails_in_time() -> None:
    assert attempt({"sleep": {"seconds": 5}, "timeoutSeconds": 1}) == "no answer within 1 s"


def test_a_hook_raises_what_went_wrong() -> None:
    with pytest.raises(HandlerError, match="not well"):
        loops.run(
            handlers.perform({"exec": {"command": ["false"]}}, Target("127.0.0.1", {"name": "main"}, execute))
        )


def test_grpc() -> None:
    import grpc.aio  # type: ignore[import-untyped]
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

    async def scenario() -> list[str | None]:
        server = grpc.aio.server()
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await servicer.set("well", health_pb2.HealthCheckResponse.SERVING)
        await servicer.set("ill", health_pb2.HealthCheckResponse.NOT_SERVING)
        target = Target("127.0.0.1", {"name": "main"}, execute)
        answers = [
            await probes.attempt({"grpc": {"port": port, "service": name}, "timeoutSeconds": 5}, target)
            for name in ("well", "ill", "unknown")
        ]
        await server.stop(None)
        return answers

    well, ill, unknown = loops.run(scenario())
    assert well is None
    assert "status 2" in (ill or "")
    assert "NOT_FOUND" in (unknown or "")
