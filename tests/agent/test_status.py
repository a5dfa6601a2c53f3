"""The agent's port: what it refuses, and what it says while Envoy is away."""

import asyncio

import pytest

from mesh.agent.admin import Admin
from mesh.agent.http import Request, Response
from mesh.agent.status import Status
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("I3")


def answer(
    method: str, path: str, peer: str = "127.0.0.1", *, draining: bool = False
) -> tuple[Response, bool]:
    """The response of an agent whose Envoy is not there, and whether it was told to quit."""
    told: list[bool] = []
    status = Status(Admin(free_port()), lambda: told.append(True))
    status.draining = draining
    return asyncio.run(status.answer(Request(method, path, peer))), bool(told)


@pytest.mark.parametrize(
    "path", ["/healthz/ready", "/debug/warming", "/stats/prometheus", "/healthz/ready?x"]
)
def test_without_envoy_nothing_can_be_said(path: str) -> None:
    response, _ = answer("GET", path)
    assert response.status == 503
    assert response.body.startswith(b"Envoy does not answer: ")


def test_draining_is_not_ready() -> None:
    assert answer("GET", "/healthz/ready", draining=True)[0] == Response(503, b"draining\n")


def test_only_the_pod_itself_may_end_its_proxy() -> None:
    assert answer("POST", "/quitquitquit", "198.18.0.9") == (Response(403, b"only from this Pod\n"), False)
    assert answer("POST", "/quitquitquit") == (Response(200, b"leaving\n"), True)
    assert answer("GET", "/quitquitquit")[0].status == 404
