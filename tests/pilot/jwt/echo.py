"""A server behind Envoy that tells which request has reached it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.pilot.authz.gate import cluster

CLUSTER = "echo"
ROUTE = {"match": {"prefix": "/"}, "route": {"cluster": CLUSTER}}


class Handler(BaseHTTPRequestHandler):
    """Answers with the request's path and headers as JSON."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"path": self.path, "headers": headers}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_OPTIONS = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Keep quiet."""


@contextmanager
def echo() -> Iterator[list[Any]]:
    """Run it; gives the cluster by which Envoy finds it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield [cluster(CLUSTER, server.server_port)]
        server.shutdown()
