"""A port forwarded to a Pod by the API server: HTTP on a kept connection, and what goes wrong in words."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from kubernetes import config

from mesh.platform.forward import CannotForward, Forward, LostConnection
from tests.pocketkube.api.rig import Served
from tests.pocketkube.api.test_portforward import open_pod

pytestmark = pytest.mark.behaviour("S3")


class Handler(http.server.BaseHTTPRequestHandler):
    """Says what it was asked; `/big` is long, `/bye` ends the connection, `/cut` without an answer."""

    protocol_version = "HTTP/1.1"
    peers: set[tuple[str, int]]

    def do_GET(self) -> None:
        self.peers.add(self.client_address)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) or self.path.encode()
        if self.path == "/cut":
            self.close_connection = True
            return
        if self.path == "/big":
            body = b"x" * 3_000_000
        self.send_response(403 if self.path == "/no" else 200)
        if self.path == "/bye":
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def pod(served: Served) -> Iterator[tuple[Callable[[], Forward], type[Handler]]]:
    """A Pod with an HTTP server on its loopback, and what makes a way there."""
    handler = type("Own", (Handler,), {"peers": set()})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    make: Any = config.new_client_from_config
    namespace, client = open_pod(served), make(str(served.kubeconfig))
    try:
        yield lambda: Forward(client, namespace, "p", server.server_address[1]), handler
    finally:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_requests_share_a_connection(served: Served) -> None:
    with pod(served) as (way, handler), way() as forward:
        for number in range(5):
            assert forward.request("GET", f"/{number}").text == f"/{number}"
        assert forward.request("POST", "/", b"hello", headers={"Content-Type": "text/plain"}).body == b"hello"
        assert len(handler.peers) == 1


def test_a_long_answer_comes_whole(served: Served) -> None:
    with pod(served) as (way, _), way() as forward:
        assert forward.request("GET", "/big").body == b"x" * 3_000_000
        assert forward.request("GET", "/small").text == "/small"


def test_a_connection_that_the_pod_closes_is_made_again(served: Served) -> None:
    with pod(served) as (way, handler), way() as forward:
        assert forward.request("GET", "/bye").text == "/bye"
        assert forward.request("GET", "/again").text == "/again"
        assert len(handler.peers) == 2


def test_a_connection_that_breaks_is_said_to(served: Served) -> None:
    with pod(served) as (way, _), way() as forward, pytest.raises(LostConnection, match="p, port"):
        forward.request("GET", "/cut")


def test_a_port_that_nobody_listens_on_is_named(served: Served) -> None:
    with pod(served) as (way, _):
        forward = way()
    make: Any = config.new_client_from_config
    with closing(make(str(served.kubeconfig))) as client:
        forward._client = client
        with forward, pytest.raises(CannotForward, match="cannot connect to port"):
            forward.request("GET", "/")


def test_a_pod_that_is_not_there_is_said_in_the_servers_words(served: Served) -> None:
    make: Any = config.new_client_from_config
    with (
        closing(make(str(served.kubeconfig))) as client,
        Forward(client, "default", "nobody", 80) as forward,
        pytest.raises(CannotForward, match='pods "nobody" not found'),
    ):
        forward.request("GET", "/")
