"""A server of external authorization over HTTP: it lets pass what says so."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CLUSTER = "outbound|9000||gate.weather.svc.cluster.local"


class Handler(BaseHTTPRequestHandler):
    """Answers 200 to what has the header `x-ext-authz: allow`, else 403."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.send_response(200 if self.headers.get("x-ext-authz") == "allow" else 403)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Keep quiet."""


@contextmanager
def gate() -> Iterator[list[Any]]:
    """Run it; gives the cluster by which Envoy finds it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield [cluster(CLUSTER, server.server_port)]
        server.shutdown()


def cluster(name: str, port: int, *, http2: bool = False) -> dict[str, Any]:
    """A cluster on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    result: dict[str, Any] = {
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }
    if http2:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        result["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return result
