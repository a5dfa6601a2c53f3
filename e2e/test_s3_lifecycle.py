"""S3: a certificate that is revoked is refused by everybody from the moment that the command returns.

The revoked ones are of an account that only these tests use; the tests hold its certificate and key, so that
they can show it wherever they like: at sidecars, at gateways, at Pilot's and Citadel's own ports.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.conftest import Command, Run
from e2e.security import ALPN, SYSTEM, identity, networking, peers, shake
from e2e.test_control_plane_ports import ask_pilot, node
from e2e.test_s4_signing import ask, csr, minted
from pytest_mesh import all_ok, eventually
from pytest_mesh.authority import Authority, Pair, serial_of
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.traffic import PodClient

pytestmark = [pytest.mark.behaviour("S3"), pytest.mark.usefixtures("steady")]
PORT = 3002
DRAIN = 10.0  # seconds, as `meshctl cert revoke` states
VICTIM = "victim"
NAME = identity(VICTIM)
GATEWAY = f"istio-ingressgateway.{SYSTEM}:443"


@pytest.fixture
def victim(weather: Weather) -> Pair:
    """A certificate that Citadel issued, and its key in our hands."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": VICTIM, "namespace": "weather"},
    }
    weather.mesh.apply(account)
    return issued(weather)


def issued(weather: Weather) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    told = ask(weather, csr(NAME, key), token=minted(weather, VICTIM, "istio-ca"))
    assert told["code"] == "OK", told
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return Pair(told["chain"], pem.decode())


@pytest.fixture
def revoke(meshctl: Command) -> Iterator[Command]:
    """Run `meshctl cert revoke`; taken back at the end."""
    revoked: list[str] = []

    def run(what: str, *more: str) -> Run:
        revoked.append(what)
        result = meshctl("cert", "revoke", what, *more)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    yield run
    for what in revoked:
        meshctl("cert", "restore", what)


def gateway() -> list[Obj]:
    """A TLS server that asks for a workload's certificate."""
    port = {"number": 443, "name": "https", "protocol": "HTTPS"}
    server = {"port": port, "hosts": ["*"], "tls": {"mode": "ISTIO_MUTUAL"}}
    route = {"route": [{"destination": {"host": "frontend", "port": {"number": 3000}}}]}
    return [
        networking("Gateway", "mutual", selector={"istio": "ingressgateway"}, servers=[server]),
        networking("VirtualService", "mutual", hosts=["*"], gateways=["mutual"], http=[route]),
    ]


def taken_at(weather: Weather, plain: PodClient, pair: Pair) -> dict[str, bool]:
    """Where a certificate is taken: at each sidecar of the demo, and at the gateway."""
    ports = {"frontend": 3000, "forecast": 3002, "advertisement": 3003, "recommendation": 3005}
    found = {
        pod.name: shake(plain, pod, port, pair).taken
        for app, port in ports.items()
        for pod in weather.mesh.pods("weather", app=app)
    }
    return {
        **found,
        "gateway": plain.handshake(GATEWAY, server_name="a.example", alpn=ALPN, **pair.tls()).taken,
    }


@pytest.mark.parametrize("by", ["serial", "identity"])
def test_after_revocation_the_next_handshake_fails_everywhere(
    weather: Weather, plain: PodClient, revoke: Command, victim: Pair, by: str
) -> None:
    weather.mesh.apply(peers("STRICT"))
    for item in gateway():
        weather.mesh.apply(item)
    bystander = Authority.of(weather.mesh.api).issue(identity("client"))
    assert all(taken_at(weather, plain, victim).values())
    pod = weather.client.pod
    assert ask_pilot(pod, node(pod, account=VICTIM), victim)["code"] in ("OK", "PERMISSION_DENIED")
    revoke(serial_of(victim.certificate) if by == "serial" else NAME)
    refused = taken_at(weather, plain, victim)
    assert not any(refused.values()), refused
    assert all(taken_at(weather, plain, bystander).values()), "others are not concerned"
    assert ask_pilot(pod, node(pod), victim)["code"] == "UNAUTHENTICATED"
    assert ask(weather, csr(NAME), pair=victim)["code"] == "UNAUTHENTICATED"
    by_token = ask(weather, csr(NAME), token=minted(weather, VICTIM, "istio-ca"))
    assert by_token["code"] == ("OK" if by == "serial" else "PERMISSION_DENIED")
    weather.outside.get("/api/weather").check(all_ok())


def test_a_resumed_session_is_refused_too(
    weather: Weather, plain: PodClient, revoke: Command, victim: Pair
) -> None:
    """TLS 1.2 by ticket and 1.3: a session made before must not bring a revoked certificate in."""
    pod = weather.pod("forecast", "v1")
    weather.mesh.apply(peers("STRICT"))
    for version in ("1.2", "1.3"):
        tls = victim.tls(alpn=ALPN, version=version)
        before = plain.talk(f"{pod.address}:{PORT}", tls=tls, count=2, resume=True)
        assert all(heard.taken for heard in before)
    revoke(NAME)
    for version in ("1.2", "1.3"):
        tls = victim.tls(alpn=ALPN, version=version)
        after = plain.talk(f"{pod.address}:{PORT}", tls=tls, count=2, resume=True)
        assert not any(heard.taken for heard in after), version


def test_connections_of_before_end_within_the_drain_time_and_others_requests_do_not_fail(
    weather: Weather, plain: PodClient, revoke: Command, victim: Pair
) -> None:
    weather.mesh.apply(peers("STRICT"))
    weather.mesh.apply(weather.rule("all-v1"))
    pod = weather.pod("forecast", "v1")
    url = f"https://{pod.address}:{PORT}/weather"
    tls = victim.tls(alpn=ALPN)
    with (
        weather.client.load(weather.forecast, rate=20) as kept,
        weather.client.load(weather.forecast, rate=20, keep_alive=False) as fresh,
        plain.load(url, rate=10, tls=tls) as own,
    ):
        own.wait_for(10)
        assert own.progress()["failed"] == 0
        revoke(NAME)
        begin = time.monotonic()
        eventually(lambda: own.progress()["failed"] > 0, DRAIN + 3)
        ended = time.monotonic() - begin
        failed = own.progress()["failed"]
        eventually(lambda: own.progress()["failed"] > failed + 5, DRAIN + 3)
        kept.wait_for(20)
    for load in (kept, fresh):
        load.responses.check(all_ok())
    print(f"the revoked one's connections ended {ended:.1f} s after the command returned")
    last = list(own.responses)[-5:]
    assert all(response.error for response in last), "no new connection of it was taken"


def test_an_open_stream_of_a_revoked_one_ends_at_pilot(
    weather: Weather, plain: PodClient, revoke: Command, victim: Pair, meshctl: Command
) -> None:
    pod = weather.client.pod
    pair = Authority.of(weather.mesh.api).issue(identity("client"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask_pilot, pod, node(pod), pair, stay=30)
        eventually(lambda: pod.id in weather.mesh.pilot.proxies())
        revoke(serial_of(pair.certificate), "--force")
        told = waiting.result(timeout=30)
    assert told["code"] in ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE"), told
    assert told["seconds"] < 25
    weather.mesh.settle()


def test_a_workload_whose_certificate_is_revoked_gets_another_and_goes_on(
    weather: Weather, plain: PodClient, revoke: Command
) -> None:
    pod = weather.pod("recommendation")
    before = shake(plain, pod, 3005).leaf
    revoke(serial_of(before))
    after = shake(plain, pod, 3005).leaf
    assert serial_of(after) != serial_of(before)
    weather.client.get("http://recommendation:3005/recommendation?condition=rain", count=5).check(all_ok())


def test_what_there_is_and_what_expires_when(weather: Weather, meshctl: Command, victim: Pair) -> None:
    listed = json.loads(meshctl("cert", "list", "-o", "json").stdout)
    assert {identity("frontend"), identity("forecast"), NAME} <= {row["identity"] for row in listed}
    assert serial_of(victim.certificate) in {row["serial"] for row in listed}
    shown = meshctl("cert", "show", NAME)
    assert shown.returncode == 0
    assert serial_of(victim.certificate) in shown.stdout
    root = meshctl("cert", "show", "root")
    assert Authority.of(weather.mesh.api).certificate.subject.rfc4514_string() in root.stdout
    forecast = json.loads(meshctl("cert", "forecast", "-o", "json").stdout)
    moments = [row["expires"] for row in forecast]
    assert moments == sorted(moments)
    wrong = meshctl("cert", "revoke", "no such name")
    assert wrong.returncode != 0
    unknown = meshctl("cert", "revoke", "5eed" * 10)
    assert unknown.returncode != 0
    assert "meshctl cert list" in unknown.stderr


def test_the_lists_are_signed_by_their_authority(weather: Weather, revoke: Command, victim: Pair) -> None:
    revoke(NAME)
    metadata = {"namespace": SYSTEM, "name": "istio-trust"}
    found = weather.mesh.api.find({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert found is not None
    crl = x509.load_pem_x509_crl(found["data"]["crl.pem"].encode())
    authority = Authority.of(weather.mesh.api)
    assert crl.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]
    assert crl.get_revoked_certificate_by_serial_number(victim.x509.serial_number)
