"""T6: TLS that ends at a gateway: what Envoy is told, and what real callers meet."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.model.trust import Credential, TrustBundle
from mesh.pilot.problems import problems
from mesh.pilot.types import LDS
from pytest_mesh.authority import Authority, Pair
from tests.pilot.compile.envoys import running
from tests.pilot.compile.secrets import CLIENT, MESH, of_mesh, pair, revocations, trust
from tests.pilot.compile.test_envoy import bootstrap
from tests.pilot.compile.test_traffic import Upstream
from tests.pilot.compile.world import World, contains, gateway
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("T6")

PUBLIC = Authority.new("a public authority")
USERS = Authority.new("the users' authority")
SERVERS = """
kind: Gateway
metadata: {{name: edge, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{servers}]
---
kind: VirtualService
metadata: {{name: forecast}}
spec:
  hosts: ["*"]
  gateways: [istio-system/edge]
  http: [{{route: [{{destination: {{host: forecast}}}}]}}]
  tcp: [{{route: [{{destination: {{host: forecast}}}}]}}]
"""


def server(host: str, tls: str, *, port: int = 443, protocol: str = "HTTPS", name: str = "") -> str:
    """A server of a Gateway."""
    return (
        f"{{port: {{number: {port}, name: {name or host.strip('*.').split('.')[0]}, protocol: {protocol}}}, "
        f'hosts: ["{host}"], bind: 127.0.0.1, tls: {{{tls}}}}}'
    )


def world(*servers: str, port: int = 3002) -> World:
    services = f"""
    - name: forecast
      namespace: weather
      addresses: [10.1.0.2]
      ports: [{{number: 3002, name: http}}]
      instances: [{{address: 127.0.0.1, ports: {{3002: {port}}}}}]
    - name: istio-ingressgateway
      namespace: istio-system
      addresses: [10.1.0.9]
      ports: [{{number: 443, name: https}}]
      instances: [{{address: 10.0.0.9, ports: {{443: 8443}}, labels: {{istio: ingressgateway}}}}]
    """
    return World(services, SERVERS.format(servers=", ".join(servers)))


def credential(made: Pair, ca: str = "", crl: str = "") -> Credential:
    return Credential(made.certificate, made.key, ca, crl)


def chains(found: World) -> list[Any]:
    listeners = found.all(gateway(), LDS)
    return found.listener(gateway(), "127.0.0.1_8443")["filter_chains"] if listeners else []


def test_each_server_has_a_chain_and_routes() -> None:
    found = world(server("a.example", "mode: SIMPLE, credentialName: a"))
    found.secret("a", Credential("chain", "key"))
    (chain,) = chains(found)
    assert chain["filter_chain_match"] == {"server_names": ["a.example"], "transport_protocol": "tls"}
    handler = chain["filters"][-1]["typed_config"]
    assert handler["rds"]["route_config_name"] == "https.443.a.edge.istio-system"
    routes = found.routes(gateway(), "https.443.a.edge.istio-system")
    assert [each["domains"] for each in routes["virtual_hosts"]] == [["a.example"]]
    contains(
        chain["transport_socket"]["typed_config"],
        {
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificate_sds_secret_configs": [{"name": "kubernetes://a"}],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            },
            "require_client_certificate": False,
        },
    )


@pytest.mark.parametrize(("mode", "required"), [("MUTUAL", True), ("OPTIONAL_MUTUAL", False)])
def test_callers_are_verified(mode: str, required: bool) -> None:
    found = world(server("a.example", f"mode: {mode}, credentialName: a, subjectAltNames: [b.example]"))
    found.secret("a", Credential("chain", "key", "roots"))
    config = chains(found)[0]["transport_socket"]["typed_config"]
    contains(
        config,
        {
            "require_client_certificate": required,
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
        },
    )
    combined = config["common_tls_context"]["combined_validation_context"]
    assert combined["validation_context_sds_secret_config"]["name"] == "kubernetes://a-cacert"
    names = combined["default_validation_context"]["match_typed_subject_alt_names"]
    assert {"san_type": "DNS", "matcher": {"exact": "b.example"}} in names


def test_files_versions_and_ciphers() -> None:
    tls = (
        "mode: MUTUAL, serverCertificate: /a.pem, privateKey: /a.key, caCertificates: /ca.pem, "
        "minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_3, "
        "cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]"
    )
    common = chains(world(server("a.example", tls)))[0]["transport_socket"]["typed_config"]
    contains(
        common["common_tls_context"],
        {
            "tls_certificates": [
                {"certificate_chain": {"filename": "/a.pem"}, "private_key": {"filename": "/a.key"}}
            ],
            "validation_context": {"trusted_ca": {"filename": "/ca.pem"}},
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"],
            },
        },
    )


def test_certificates_of_the_mesh() -> None:
    config = chains(world(server("a.example", "mode: ISTIO_MUTUAL")))[0]["transport_socket"]["typed_config"]
    common = config["common_tls_context"]
    assert config["require_client_certificate"] is True
    assert common["tls_certificate_sds_secret_configs"][0]["name"] == "default"
    combined = common["combined_validation_context"]
    assert combined["validation_context_sds_secret_config"]["name"] == "ROOTCA"
    assert combined["default_validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}
    ]


def test_a_missing_secret_takes_away_only_its_server() -> None:
    found = world(
        server("a.example", "mode: SIMPLE, credentialName: a"),
        server("b.example", "mode: MUTUAL, credentialName: b"),
    )
    assert chains(found) == []
    assert len(problems(found.snapshot)) == 3
    found.secret("a", Credential("chain", "key"))
    found.secret("b", Credential("chain", "key"))
    assert [each["filter_chain_match"]["server_names"] for each in chains(found)] == [["a.example"]]
    (problem,) = problems(found.snapshot)
    assert "Secret istio-system/b with ca.crt or cacert" in str(problem)
    found.secret("b", Credential("chain", "key", "roots"))
    assert len(chains(found)) == 2
    assert problems(found.snapshot) == []


def test_the_first_server_keeps_its_name() -> None:
    found = world(
        server("a.example", "mode: SIMPLE, credentialName: a"),
        server("a.example", "mode: SIMPLE, credentialName: b", name="again"),
    )
    for name in ("a", "b"):
        found.secret(name, Credential("chain", "key"))
    assert len(chains(found)) == 1


@pytest.mark.behaviour("S4")
def test_revocations_and_only_they_replace_chains() -> None:
    found = world(
        server("a.example", "mode: ISTIO_MUTUAL"),
        server("b.example", "mode: SIMPLE, credentialName: b"),
        server("c.example", "mode: MUTUAL, credentialName: c"),
    )
    users = MESH.issue("x"), USERS.issue("y")
    found.secret("b", Credential("chain", "key"))
    found.secret("c", Credential("chain", "key", USERS.pem, revocations(USERS)))
    found.trust(TrustBundle(MESH.pem, revocations(MESH)))
    before = chains(found)
    found.trust(TrustBundle(MESH.pem + PUBLIC.pem, revocations(MESH) + revocations(PUBLIC)))
    assert chains(found) == before, "another root, and lists signed anew"
    found.trust(TrustBundle(MESH.pem, revocations(MESH, users[0])))
    found.secret("c", Credential("chain", "key", USERS.pem, revocations(USERS, users[1])))
    assert [one == other for one, other in zip(before, chains(found), strict=True)] == [False, True, False]


# Real callers


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gateway with a server of each kind."""
    upstream = Upstream("v1", "127.0.0.1")
    try:
        yield from serving(tmp_path_factory, upstream)
    finally:
        upstream.stop()


def serving(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[int]:
    port = free_port()
    revoked = USERS.issue("revoked.example")
    FOLDER["users"] = tmp_path_factory.mktemp("users")
    CALLERS["revoked"] = revoked
    found = world(
        server("a.example", "mode: SIMPLE, credentialName: a", port=port),
        server("b.example", "mode: MUTUAL, credentialName: b", port=port),
        server("*.wild.example", "mode: OPTIONAL_MUTUAL, credentialName: b", port=port),
        server("tcp.example", "mode: SIMPLE, credentialName: a", port=port, protocol="TLS"),
        server("mesh.example", "mode: ISTIO_MUTUAL", port=port),
        port=upstream.port,
    )
    certificate = PUBLIC.issue("a.example", "b.example", "x.wild.example", "tcp.example")
    found.secret("a", credential(certificate))
    found.secret("b", credential(certificate, USERS.pem))
    secrets = [
        *of_mesh(),
        pair("kubernetes://a", certificate),
        pair("kubernetes://b", certificate),
        trust("kubernetes://b-cacert", USERS.pem, revocations(USERS, revoked)),
    ]
    config = bootstrap(found.everything(gateway()).values(), secrets)
    with running(config, tmp_path_factory.mktemp("edge"), port):
        yield port


FOLDER: dict[str, Path] = {}
CALLERS: dict[str, Pair | None] = {
    "nobody": None,
    "user": USERS.issue("user.example"),
    "stranger": Authority.new().issue("user.example"),
    "workload": MESH.issue(CLIENT),
}


def asked(port: int, host: str, caller: str, alpn: str = "http/1.1") -> str:
    """The status that a caller gets for a host, or `refused`; the server's certificate is verified."""
    tls = ssl.create_default_context(cadata=PUBLIC.pem + MESH.pem)
    tls.check_hostname = host != "mesh.example"
    tls.set_alpn_protocols([alpn])
    shown = CALLERS[caller]
    if shown is not None:
        path = FOLDER["users"] / f"{caller}.pem"
        path.write_text(shown.certificate + shown.key)
        tls.load_cert_chain(path)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            tls.wrap_socket(plain, server_hostname=host) as connection,
        ):
            if alpn == "h2":
                return connection.selected_alpn_protocol() or "none"
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(65536).decode().split(" ")[1]
    except (OSError, IndexError):
        return "refused"


@pytest.mark.parametrize(
    ("host", "caller", "answer"),
    [
        ("a.example", "nobody", "200"),
        ("b.example", "nobody", "refused"),
        ("b.example", "user", "200"),
        ("b.example", "stranger", "refused"),
        ("b.example", "revoked", "refused"),
        ("x.wild.example", "nobody", "200"),
        ("x.wild.example", "user", "200"),
        ("x.wild.example", "stranger", "refused"),
        ("tcp.example", "nobody", "200"),
        ("mesh.example", "workload", "200"),
        ("mesh.example", "nobody", "refused"),
        ("mesh.example", "user", "refused"),
        ("unknown.example", "nobody", "refused"),
    ],
)
def test_who_gets_what(edge: int, host: str, caller: str, answer: str) -> None:
    assert asked(edge, host, caller) == answer


def test_http2_is_agreed_on(edge: int) -> None:
    assert asked(edge, "a.example", "nobody", alpn="h2") == "h2"
