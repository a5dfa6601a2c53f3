"""T7: requests to a server outside the mesh, by real Envoys: TLS begins at the sidecar, or the request goes
through the egress gateway with the mesh's certificates, and TLS to the outside begins there.
"""

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh.api.meshconfig import MeshConfig, OutboundTrafficPolicy
from mesh.model import Proxy
from pytest_mesh.authority import Authority
from tests.pilot.compile.envoys import running
from tests.pilot.compile.secrets import CLIENT, of_mesh
from tests.pilot.compile.test_entries import THROUGH_EGRESS
from tests.pilot.compile.test_envoy import bootstrap
from tests.pilot.compile.test_traffic import Upstream
from tests.pilot.compile.world import World, gateway, sidecar
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("T7", "T6")

OUTSIDE = Authority.new("an authority outside")
LEAVING = "spiffe://cluster.local/ns/istio-system/sa/default"
SERVICES = """
- name: frontend
  namespace: weather
  addresses: [10.1.0.1]
  ports: [{{number: 3000, name: http}}]
  instances: [{{address: 10.0.0.1}}]
- name: istio-egressgateway
  namespace: istio-system
  addresses: [10.1.0.8]
  ports: [{{number: 443, name: https}}]
  instances: [{{address: 127.0.0.1, ports: {{443: {egress}}}, labels: {{istio: egressgateway}}}}]
"""
RULES = """
---
kind: ServiceEntry
metadata: {{name: outside}}
spec:
  hosts: [a.example]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: DNS
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
kind: DestinationRule
metadata: {{name: outside}}
spec: {{host: a.example, trafficPolicy: {{tls: {{mode: SIMPLE{more}}}}}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A server of HTTPS outside the mesh."""
    pair = OUTSIDE.issue("a.example")
    path = tmp_path_factory.mktemp("outside") / "server.pem"
    path.write_text(pair.certificate + pair.key)
    made = Upstream("outside", "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    made.server.socket = tls.wrap_socket(made.server.socket, server_side=True, do_handshake_on_connect=False)
    yield made
    made.stop()


def started(
    stack: contextlib.ExitStack, world: World, proxy: Proxy, listener: str, port: int, folder: Path, who: str
) -> None:
    """Run a proxy with one of its listeners, on a port of loopback."""
    config = bootstrap(world.everything(proxy).values(), of_mesh(who))
    static: Any = config["static_resources"]
    static["listeners"] = [each for each in static["listeners"] if each["name"] == listener]
    static["listeners"][0]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    static["listeners"][0]["bind_to_port"] = True
    stack.enter_context(running(config, folder, port))


def answer(tmp_path: Path, server: Upstream, rules: str = "", more: str = "", *, known: bool = False) -> Any:
    """What a workload gets from a.example."""
    ca, port, egress = tmp_path / "ca.pem", free_port(), free_port()
    ca.write_text(OUTSIDE.pem)
    if "caCertificates" not in more:
        more += f", caCertificates: {ca}"
    text = RULES.format(port=server.port, more=more) + rules
    policy = OutboundTrafficPolicy(mode="REGISTRY_ONLY") if known else OutboundTrafficPolicy()
    mesh = MeshConfig(outbound_traffic_policy=policy)
    world = World(SERVICES.format(egress=egress), text, mesh)
    with contextlib.ExitStack() as stack:
        started(stack, world, sidecar(), "0.0.0.0_80", port, tmp_path / "caller", CLIENT)
        if rules:
            leaving = gateway("127.0.0.1", istio="egressgateway")
            started(stack, world, leaving, f"0.0.0.0_{egress}", egress, tmp_path / "egress", LEAVING)
        host = "b.example" if known else "a.example"
        return requests.get(f"http://127.0.0.1:{port}/x", headers={"host": host}, timeout=30)


def test_tls_begins_at_the_sidecar(tmp_path: Path, server: Upstream) -> None:
    got = answer(tmp_path, server)
    assert (got.status_code, got.headers["x-version"]) == (200, "outside")


def test_another_name_in_the_certificate_is_refused(tmp_path: Path, server: Upstream) -> None:
    assert answer(tmp_path, server, more=", subjectAltNames: [b.example]").status_code == 503


def test_another_authority_is_refused_unless_nothing_is_verified(tmp_path: Path, server: Upstream) -> None:
    strange = tmp_path / "strange.pem"
    strange.write_text(Authority.new().pem)
    assert answer(tmp_path, server, more=f", caCertificates: {strange}").status_code == 503
    more = f", caCertificates: {strange}, insecureSkipVerify: true"
    assert answer(tmp_path, server, more=more).status_code == 200


def test_through_the_egress_gateway(tmp_path: Path, server: Upstream) -> None:
    got = answer(tmp_path, server, THROUGH_EGRESS)
    assert (got.status_code, got.headers["x-version"]) == (200, "outside")
    (caller,) = got.json()["headers"]["x-forwarded-client-cert"]
    assert f"URI={CLIENT}" in caller


def test_unknown_hosts_are_refused_if_the_mesh_says_so(tmp_path: Path, server: Upstream) -> None:
    assert answer(tmp_path, server, known=True).status_code == 502
