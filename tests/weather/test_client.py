"""The client: sends what it is told, never tries again, and says what happened to each request."""

import itertools
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_mesh import eventually
from tests.weather.conftest import Running, Start

pytestmark = pytest.mark.behaviour("H2")


@pytest.fixture(scope="module")
def client(start: Start) -> Running:
    return start("client")


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A TCP server that answers one line on each connection and then closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_once, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answer_once(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"got " + connection.recv(1000))


def outcomes(client: Running, **plan: Any) -> list[dict[str, Any]]:
    response = client.post("/call", plan)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["outcomes"]
    return found


def test_requests_are_sent_as_told_and_reported_one_by_one(client: Running, echo: Running) -> None:
    wish = {"method": "POST", "headers": {"x-a": "1"}, "body": "hello", "count": 3, "concurrency": 2}
    found = outcomes(client, url=f"{echo.url}/path?status=418", **wish)
    assert [outcome["status"] for outcome in found] == [418] * 3
    assert all('"x-a": "1"' in outcome["body"] and '"method": "POST"' in outcome["body"] for outcome in found)
    assert all(outcome["ms"] > 0 and not outcome["error"] for outcome in found)


def test_a_refused_connection_is_an_outcome(client: Running) -> None:
    (found,) = outcomes(client, url="http://127.0.0.1:1/")
    assert found["status"] == 0
    assert "Connect" in found["error"]


def test_a_timeout_is_an_outcome(client: Running, echo: Running) -> None:
    (found,) = outcomes(client, url=f"{echo.url}/?delay=5", timeout=0.1)
    assert "Timeout" in found["error"]


def test_redirects_are_reported_and_not_followed(client: Running, echo: Running) -> None:
    (found,) = outcomes(client, url=f"{echo.url}/?status=302")
    assert found["status"] == 302


def test_a_line_over_tcp(client: Running, echo_port: int) -> None:
    (found,) = outcomes(client, url=f"tcp://127.0.0.1:{echo_port}", body="hello")
    assert (found["status"], found["body"]) == (200, "got hello")


def test_a_kept_connection_that_was_closed_fails_and_is_not_tried_again(
    client: Running, echo_port: int
) -> None:
    kept = outcomes(client, url=f"tcp://127.0.0.1:{echo_port}", body="x", count=2)
    assert [bool(outcome["error"]) for outcome in kept] == [False, True]
    fresh = outcomes(client, url=f"tcp://127.0.0.1:{echo_port}", body="x", count=2, keep_alive=False)
    assert [outcome["error"] for outcome in fresh] == ["", ""]


def test_a_load_runs_at_its_rate_until_it_is_stopped(client: Running, echo: Running) -> None:
    name = client.post("/loads", {"url": echo.url, "rate": 200}).json()["id"]
    eventually(lambda: client.get(f"/loads/{name}").json()["done"] >= 20)
    found = client.delete(f"/loads/{name}").json()["outcomes"]
    assert all(outcome["status"] == 200 for outcome in found)
    gaps = [later["at"] - earlier["at"] for earlier, later in itertools.pairwise(found)]
    assert all(gap == pytest.approx(1 / 200, abs=1e-5) for gap in gaps)
    assert client.get(f"/loads/{name}").status_code == 404


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({}, "url is missing"),
        ({"url": "forecast"}, "is not http://host"),
        ({"url": "tcp://host"}, "needs a port"),
        ({"url": "http://x", "counts": 3}, "unknown field 'counts'"),
        ({"url": "http://x", "count": "3"}, "count must be int"),
        ({"url": "http://x", "count": 0}, "count must be from 1"),
        ({"url": "http://x", "keep_alive": 1}, "keep_alive must be bool"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_with_the_field(
    client: Running, plan: dict[str, Any], words: str
) -> None:
    response = client.post("/call", plan)
    assert response.status_code == 400
    assert words in response.text
