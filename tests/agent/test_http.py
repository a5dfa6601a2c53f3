"""The agent's own HTTP, against clients and servers that are not ours."""

import asyncio
import http.client
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mesh.agent.http import Request, Response, fetch, serve

pytestmark = pytest.mark.behaviour("I3")


THREE = (("GET", "/a?b=c", None), ("POST", "/d", b"e" * 100_000), ("GET", "/f", None))


async def echo(request: Request) -> Response:
    return Response(200, f"{request.method} {request.path} {request.peer}".encode())


def with_server(client: Callable[[int], Any]) -> Any:
    """What a blocking client gets from our server."""

    async def main() -> Any:
        server = await serve("127.0.0.1", 0, echo)
        try:
            return await asyncio.to_thread(client, server.sockets[0].getsockname()[1])
        finally:
            server.close()

    return asyncio.run(main())


def test_several_requests_on_one_connection() -> None:
    def client(port: int) -> list[str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        found = []
        for method, path, body in THREE:
            connection.request(method, path, body=body)
            found.append(connection.getresponse().read().decode())
        connection.close()
        return found

    assert with_server(client) == ["GET /a?b=c 127.0.0.1", "POST /d 127.0.0.1", "GET /f 127.0.0.1"]


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /", b""])
def test_what_is_not_http_ends_the_connection(sent: bytes) -> None:
    def client(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(999), b""))

    assert b"200" not in with_server(client)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/bad" else 200)
        self.send_header("content-type", "text/x")
        self.end_headers()  # no length: the answer ends with the connection
        self.wfile.write(b"body " * 10_000)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def other() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_fetching() -> None:
    with other() as port:
        assert asyncio.run(fetch(port, "/")) == Response(200, b"body " * 10_000, "text/x")
        assert asyncio.run(fetch(port, "/bad")).status == 503
    with pytest.raises(OSError, match=str(port)):
        asyncio.run(fetch(port, "/"))


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        asyncio.run(fetch(silent.getsockname()[1], "/", timeout=0.1))


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    def break_off(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(999)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=break_off, args=(listener,))
        thread.start()
        with pytest.raises(ConnectionError):
            asyncio.run(fetch(listener.getsockname()[1], "/"))
        thread.join()
