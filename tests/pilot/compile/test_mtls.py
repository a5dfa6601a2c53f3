"""S5: mutual TLS between real Envoys, with real certificates: who is let in, in clear text or not, and who
calls whom how.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh.model import Labels
from pytest_mesh.authority import DAY, HOUR, Authority, Pair
from tests.pilot.compile.envoys import inbound, running
from tests.pilot.compile.secrets import CLIENT, MESH, SERVER, of_mesh, revocations
from tests.pilot.compile.test_envoy import bootstrap
from tests.pilot.compile.test_traffic import Upstream
from tests.pilot.compile.world import World, gateway
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("S5", "S3")

POLICY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""
EDGE = """
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, bind: 127.0.0.1, hosts: ["*"]}}]
---
kind: VirtualService
metadata: {{name: forecast}}
spec: {{hosts: ["*"], gateways: [edge], http: [{{route: [{{destination: {{host: forecast}}}}]}}]}}
"""
Serve = Callable[..., int]


def services(port: int, protocol: str = "http", labels: str = "{security.istio.io/tlsMode: istio}") -> str:
    return f"""
    - name: forecast
      namespace: weather
      addresses: [10.1.0.2]
      ports: [{{number: 3002, name: {protocol}}}]
      instances: [{{address: 127.0.0.1, ports: {{3002: {port}}}, labels: {labels}}}]
    """


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    made = Upstream("v1", "127.0.0.1")
    yield made
    made.stop()


@pytest.fixture
def serve(upstream: Upstream, tmp_path: Path) -> Iterator[Serve]:
    """Start a sidecar under a policy, and give its port."""
    with contextlib.ExitStack() as stack:

        def start(mode: str = "STRICT", *, protocol: str = "http", crl: str = "", rules: str = "") -> int:
            port = free_port()
            world = World(services(port, protocol), POLICY.format(mode=mode) + rules)
            config = inbound(world, "127.0.0.1", port, upstream.port, of_mesh(crl=crl))
            stack.enter_context(running(config, tmp_path / "server", port))
            return port

        yield start


def context(folder: Path, certificate: Pair | None, *alpn: str) -> ssl.SSLContext:
    """A caller's TLS that shows a certificate and trusts the mesh's root."""
    result = ssl.create_default_context(cadata=MESH.pem)
    result.check_hostname = False
    if alpn:
        result.set_alpn_protocols(list(alpn))
    if certificate is not None:
        folder.mkdir(exist_ok=True)
        path = folder / "caller.pem"
        path.write_text(certificate.certificate + certificate.key)
        result.load_cert_chain(path)
    return result


def get(port: int, tls: ssl.SSLContext | None = None, *, name: str = "forecast") -> bytes:
    """The answer to a request; OSError or nothing if the connection is refused."""
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        tls.wrap_socket(plain, server_hostname=name) if tls else plain as connection,
    ):
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: forecast\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def answered(port: int, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a request is let in."""
    try:
        return get(port, tls).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize("protocol", ["http", "tcp", "auto"])
@pytest.mark.parametrize(
    ("mode", "clear", "secured"),
    [("STRICT", False, True), ("PERMISSIVE", True, True), ("DISABLE", True, False)],
)
def test_modes(serve: Serve, tmp_path: Path, mode: str, clear: bool, secured: bool, protocol: str) -> None:
    port = serve(mode, protocol=protocol)
    caller = context(tmp_path, MESH.issue(CLIENT), "istio-http/1.1", "istio", "http/1.1")
    assert answered(port) is clear
    assert answered(port, caller) is secured


@pytest.mark.parametrize(
    ("certificate", "let_in"),
    [
        pytest.param(MESH.issue(CLIENT), True, id="of-the-mesh"),
        pytest.param(None, False, id="none"),
        pytest.param(MESH.issue(CLIENT, start=-DAY, life=HOUR), False, id="expired"),
        pytest.param(MESH.issue(CLIENT, start=DAY), False, id="not-yet-valid"),
        pytest.param(MESH.issue("spiffe://elsewhere/ns/a/sa/b"), False, id="of-another-trust-domain"),
        pytest.param(MESH.issue("spiffe://cluster.local.evil/ns/a/sa/b"), False, id="of-a-like-domain"),
        pytest.param(MESH.issue("cluster.local"), False, id="without-an-identity"),
        pytest.param(Authority.new().issue(CLIENT), False, id="of-a-self-made-authority"),
    ],
)
def test_who_is_let_in(serve: Serve, tmp_path: Path, certificate: Pair | None, let_in: bool) -> None:
    assert answered(serve(), context(tmp_path, certificate, "istio")) is let_in


@pytest.mark.behaviour("S4")
def test_a_revoked_certificate_is_refused_and_others_are_not(serve: Serve, tmp_path: Path) -> None:
    bad, good = MESH.issue(CLIENT), MESH.issue(CLIENT)
    port = serve(crl=revocations(MESH, bad))
    assert not answered(port, context(tmp_path / "bad", bad))
    assert answered(port, context(tmp_path / "good", good))


@pytest.mark.behaviour("S4")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(serve: Serve, tmp_path: Path, version: ssl.TLSVersion) -> None:
    tls = context(tmp_path, MESH.issue(CLIENT))
    tls.minimum_version = tls.maximum_version = version
    port = serve()
    session: ssl.SSLSession | None = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            tls.wrap_socket(plain, server_hostname="forecast", session=session) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while connection.recv(65536):
                pass
            assert not connection.session_reused
            session = connection.session


def test_tls_of_the_workload_itself_passes_where_both_are_taken(tmp_path: Path, serve: Serve) -> None:
    port = serve("PERMISSIVE", protocol="tcp")
    with pytest.raises(ssl.SSLError):  # the server behind speaks clear text: it answers the hello with HTTP
        get(port, context(tmp_path, None, "http/1.1"))


@pytest.mark.parametrize(("mode", "clear", "secured"), [("DISABLE", True, False), ("STRICT", False, True)])
def test_a_port_differs(upstream: Upstream, tmp_path: Path, mode: str, clear: bool, secured: bool) -> None:
    """A port that no service leads to, named by a policy for the workload only."""
    port = free_port()
    policy = f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: forecast}}
spec:
  selector: {{matchLabels: {{app: forecast}}}}
  portLevelMtls: {{{port}: {{mode: {mode}}}}}
"""
    world = World(services(1), POLICY.format(mode="DISABLE" if secured else "STRICT") + policy)
    config = inbound(world, "127.0.0.1", port, upstream.port, of_mesh(), labels=Labels({"app": "forecast"}))
    with running(config, tmp_path / "server", port):
        assert answered(port) is clear
        assert answered(port, context(tmp_path, MESH.issue(CLIENT))) is secured


# A caller's Envoy too


@pytest.fixture
def call(upstream: Upstream, tmp_path: Path) -> Iterator[Callable[..., requests.Response]]:
    """Call a sidecar through a caller's Envoy, under a policy and a rule of the caller.

    Of HTTP/2 only the part between the two is tried: the server behind speaks HTTP/1.1.
    """
    with contextlib.ExitStack() as stack:

        def start(
            mode: str = "STRICT",
            *,
            protocol: str = "http",
            server: str = SERVER,
            rules: str = "",
            **more: Any,
        ) -> requests.Response:
            port, edge = free_port(), free_port()
            policy = POLICY.format(mode=mode)
            text = services(port, protocol.removesuffix("2"), **more)
            server_side = inbound(World(text, policy), "127.0.0.1", port, upstream.port, of_mesh(server))
            stack.enter_context(running(server_side, tmp_path / "server", port))
            text = services(port, protocol, **more)
            world = World(text, policy + "\n---\n" + EDGE.format(port=edge) + rules)
            caller = bootstrap(world.everything(gateway()).values(), of_mesh(CLIENT))
            stack.enter_context(running(caller, tmp_path / "caller", edge))
            return requests.get(f"http://127.0.0.1:{edge}/x", timeout=30)

        yield start


@pytest.mark.parametrize("protocol", ["http", "http2", "tcp", "auto"])
def test_calls_are_secured_by_themselves(call: Callable[..., requests.Response], protocol: str) -> None:
    answer = call("STRICT", protocol=protocol)
    assert answer.status_code == 200
    forwarded = answer.json()["headers"].get("x-forwarded-client-cert")
    if protocol == "tcp":
        assert forwarded is None
    else:
        assert forwarded is not None
        assert f"URI={CLIENT}" in forwarded[0]


def test_without_a_sidecar_it_is_clear_text(call: Callable[..., requests.Response]) -> None:
    answer = call("PERMISSIVE", labels="{app: forecast}")
    assert answer.status_code == 200
    assert "x-forwarded-client-cert" not in answer.json()["headers"]


def test_who_shows_another_identity_is_not_called(call: Callable[..., requests.Response]) -> None:
    assert call(server="spiffe://cluster.local/ns/weather/sa/other").status_code == 503


def test_clear_text_to_a_server_that_insists_fails(call: Callable[..., requests.Response]) -> None:
    rule = """
---
kind: DestinationRule
metadata: {name: forecast}
spec: {host: forecast, trafficPolicy: {tls: {mode: DISABLE}}}
"""
    assert call(rules=rule).status_code == 503


def test_mutual_tls_on_demand(call: Callable[..., requests.Response]) -> None:
    rule = """
---
kind: DestinationRule
metadata: {name: forecast}
spec: {host: forecast, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
"""
    assert call(rules=rule, labels="{app: forecast}").status_code == 200
