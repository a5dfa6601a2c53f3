"""T6: gateways speak TLS: SIMPLE, MUTUAL and ISTIO_MUTUAL servers, credentials from Secrets, replaced live.

Asked from a Pod without a sidecar, as a client outside the mesh would.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.security import SYSTEM, identity, networking, secret, shake, tls_secret
from pytest_mesh import all_ok, eventually, header, status
from pytest_mesh.authority import Authority, Pair, identity_of, serial_of, signed_by
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.responses import Heard
from pytest_mesh.traffic import PodClient

pytestmark = [pytest.mark.behaviour("T6"), pytest.mark.usefixtures("steady")]
NAME = "weather.example"
OTHER = "other.example"
ADDRESS = f"istio-ingressgateway.{SYSTEM}:443"
URL = f"https://{ADDRESS}/api/weather"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("an authority that browsers know")


def server(host: str, mode: str, credential: str = "", **tls: Any) -> Obj:
    """A TLS server of a Gateway."""
    named = {"credentialName": credential} if credential else {}
    port = {"number": 443, "name": f"https-{host.partition('.')[0]}", "protocol": "HTTPS"}
    return {"port": port, "hosts": [host], "tls": {"mode": mode, **named, **tls}}


def gateway(*servers: Obj) -> list[Obj]:
    """A Gateway, and the route from it to the frontend."""
    route = {"route": [{"destination": {"host": "frontend", "port": {"number": 3000}}}]}
    return [
        networking("Gateway", "secure", selector={"istio": "ingressgateway"}, servers=list(servers)),
        networking("VirtualService", "secure", hosts=["*"], gateways=["secure"], http=[route]),
    ]


def apply(weather: Weather, *items: Obj) -> None:
    """All at once; in force on return."""
    mesh = weather.mesh
    mesh.wait_for([written for item in items for written in mesh.apply(item, wait=False)])


def call(
    client: PodClient, authority: Authority, name: str = NAME, pair: Pair | None = None, **plan: Any
) -> Any:
    tls = {"ca": authority.pem, "server_name": name, "check_name": True, **(pair.tls() if pair else {})}
    return client.get(URL, tls=tls, headers={"Host": name}, keep_alive=False, **plan)


def shown(client: PodClient, name: str = NAME, **tls: Any) -> Heard:
    return client.handshake(ADDRESS, server_name=name, **tls)


def test_a_simple_server_shows_its_secret(weather: Weather, plain: PodClient, authority: Authority) -> None:
    pair = authority.intermediate().issue(NAME)
    apply(weather, tls_secret("simple", SYSTEM, pair), *gateway(server(NAME, "SIMPLE", "simple")))
    call(plain, authority, count=3).check(all_ok())
    heard = shown(plain)
    assert serial_of(heard.leaf) == serial_of(pair.certificate)
    assert len(heard.chain) == 2, "the intermediate is shown too"
    assert heard.alpn == ""
    assert shown(plain, alpn=["h2", "http/1.1"]).alpn == "h2"


def test_a_server_is_chosen_by_name_and_others_are_refused(
    weather: Weather, plain: PodClient, authority: Authority
) -> None:
    pairs = {name: authority.issue(name) for name in (NAME, OTHER)}
    secrets = [tls_secret(f"for-{name.partition('.')[0]}", SYSTEM, pair) for name, pair in pairs.items()]
    servers = [server(name, "SIMPLE", f"for-{name.partition('.')[0]}") for name in pairs]
    apply(weather, *secrets, *gateway(*servers))
    for name, pair in pairs.items():
        assert serial_of(shown(plain, name).leaf) == serial_of(pair.certificate)
        call(plain, authority, name).check(all_ok())
    assert not shown(plain, "nobody.example").handshake
    (plain_text,) = plain.talk(ADDRESS, send="GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert "200" not in plain_text.received


@pytest.fixture
def rotating(weather: Weather, authority: Authority) -> Iterator[Pair]:
    first = authority.issue(NAME)
    apply(weather, tls_secret("live", SYSTEM, first), *gateway(server(NAME, "SIMPLE", "live")))
    yield first


def test_a_credential_is_replaced_under_load_and_no_request_fails(
    weather: Weather, plain: PodClient, authority: Authority, rotating: Pair
) -> None:
    tls = {"ca": authority.pem, "server_name": NAME, "check_name": True}
    arguments: dict[str, Any] = {"tls": tls, "headers": {"Host": NAME}}
    with (
        plain.load(URL, rate=20, keep_alive=False, **arguments) as fresh,
        plain.load(URL, rate=20, **arguments) as kept,
    ):
        fresh.wait_for(10)
        for _ in range(3):
            after = authority.issue(NAME)
            weather.mesh.apply(tls_secret("live", SYSTEM, after))
            assert serial_of(shown(plain).leaf) == serial_of(after.certificate), "in force when apply returns"
        fresh.wait_for(10)
    for load in (fresh, kept):
        load.responses.check(all_ok())


def test_mutual_takes_only_clients_of_its_authority(
    weather: Weather, plain: PodClient, authority: Authority
) -> None:
    clients = Authority.new("an authority of clients")
    item = tls_secret("both", SYSTEM, authority.issue(NAME), ca_crt=clients.pem)
    apply(weather, item, *gateway(server(NAME, "MUTUAL", "both")))
    call(plain, authority, pair=clients.issue("a client")).check(all_ok())
    for pair in (None, authority.issue("a client"), Authority.new().issue("a client")):
        (refused,) = call(plain, authority, pair=pair)
        assert refused.error
        assert not shown(plain, **(pair.tls() if pair else {})).taken


def test_mutual_finds_the_authority_in_a_secret_of_its_own(
    weather: Weather, plain: PodClient, authority: Authority
) -> None:
    clients = Authority.new("an authority of clients")
    pair = authority.issue(NAME)
    apply(
        weather,
        secret("apart", SYSTEM, kind="Opaque", cert=pair.certificate, key=pair.key),
        secret("apart-cacert", SYSTEM, kind="Opaque", cacert=clients.pem),
        *gateway(server(NAME, "MUTUAL", "apart")),
    )
    call(plain, authority, pair=clients.issue("a client")).check(all_ok())
    assert call(plain, authority)[0].error


def test_istio_mutual_is_for_workloads_of_the_mesh(weather: Weather, plain: PodClient) -> None:
    apply(weather, *gateway(server(NAME, "ISTIO_MUTUAL")))
    citadel = Authority.of(weather.mesh.api)
    pod = weather.mesh.pod(SYSTEM, istio="ingressgateway")
    heard = shake(plain, pod, 8443, citadel.issue(identity("client")), server_name=NAME)
    assert heard.taken
    assert identity_of(heard.leaf).startswith(f"spiffe://cluster.local/ns/{SYSTEM}/sa/istio-ingressgateway")
    assert signed_by(heard.leaf, citadel.pem)
    assert not shake(plain, pod, 8443, None, server_name=NAME).taken


def test_a_secret_that_is_missing_is_told_and_comes_live(
    weather: Weather, plain: PodClient, authority: Authority
) -> None:
    pair = authority.issue(NAME)
    for item in gateway(server(NAME, "SIMPLE", "later")):
        weather.mesh.apply(item, wait=False)
    eventually(lambda: not shown(plain).handshake, 5)
    weather.mesh.apply(tls_secret("later", SYSTEM, pair))
    eventually(lambda: serial_of(shown(plain).leaf) == serial_of(pair.certificate), 10)
    weather.outside.get("/api/weather").check(all_ok())


def test_a_gateway_reads_no_secret_of_another_namespace(
    weather: Weather, plain: PodClient, authority: Authority
) -> None:
    weather.mesh.apply(tls_secret("elsewhere", "weather", authority.issue(NAME)))
    for item in gateway(server(NAME, "SIMPLE", "elsewhere")):
        weather.mesh.apply(item, wait=False)
    eventually(lambda: not shown(plain).handshake, 5)
    weather.outside.get("/api/weather").check(all_ok())


def test_plain_requests_are_sent_to_https(weather: Weather) -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    item = networking("Gateway", "weather", selector={"istio": "ingressgateway"}, servers=[
        {"port": port, "hosts": ["*"], "tls": {"httpsRedirect": True}},
    ])  # fmt: skip
    weather.mesh.apply(item)
    weather.outside.get("/api/weather", headers={"Host": NAME}).check(
        status(301), header("location", f"https://{NAME}/api/weather")
    )
