"""W6: both Envoys authenticate each other and encrypt the channel; who is let in is decided by identity.

And those who are not who they say they are: each is refused at a sidecar's port, and nothing crashes.
"""

from datetime import timedelta

import pytest

from e2e.security import (
    FORBIDDEN,
    authorize,
    foreign,
    identity,
    networking,
    one_request_each,
    peers,
    shake,
    sources,
)
from pytest_mesh import all_ok, body_has, status
from pytest_mesh.authority import Authority, Pair, identity_of, signed_by
from pytest_mesh.demo import Weather
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

pytestmark = [pytest.mark.behaviour("W6"), pytest.mark.usefixtures("steady")]
PORT = 3002
FAILED = r"^listener\..*15006\.ssl\.fail_verify.*"
HANDSHAKES = "listener.0.0.0.0_15006.ssl.handshake"


@pytest.fixture(scope="module")
def authority(weather: Weather) -> Authority:
    return Authority.of(weather.mesh.api)


@pytest.fixture
def forecast(weather: Weather) -> Pod:
    """The callee, which takes mutual TLS only."""
    weather.mesh.apply(peers("STRICT"))
    return weather.pod("forecast", "v1")


def test_every_call_is_encrypted_without_a_line_of_configuration(weather: Weather) -> None:
    pod = weather.pod("forecast", "v1")
    weather.mesh.apply(weather.rule("all-v1"))
    weather.mesh.apply(one_request_each("forecast"))
    before, failed = pod.proxy.stat(HANDSHAKES), pod.proxy.stats(FAILED)
    weather.client.get(weather.forecast, count=5, keep_alive=False).check(all_ok())
    assert pod.proxy.stat(HANDSHAKES) > before
    assert pod.proxy.stats(FAILED) == failed


def test_both_sides_show_certificates_of_the_same_authority(
    weather: Weather, plain: PodClient, authority: Authority, forecast: Pod
) -> None:
    heard = shake(plain, forecast, PORT, authority.issue(identity("client")))
    assert heard.taken
    assert identity_of(heard.leaf) == identity("forecast")
    assert signed_by(heard.leaf, authority.pem)
    plain.get(
        f"https://{forecast.address}:{PORT}/weather",
        tls=authority.issue(identity("client")).tls(alpn=["istio"]),
    ).check(all_ok(), body_has("service", "forecast"))


def test_plain_text_to_a_strict_port_is_refused(plain: PodClient, forecast: Pod) -> None:
    responses = plain.get(f"http://{forecast.address}:{PORT}/weather", count=3, keep_alive=False)
    assert [response.status for response in responses] == [0, 0, 0]
    for line in ("hello\n", "\x16\x03\x01 not a handshake"):
        (heard,) = plain.talk(f"{forecast.address}:{PORT}", send=line)
        assert heard.connected
        assert not heard.received


def imposters(authority: Authority) -> dict[str, Pair | None]:
    name, day = identity("client"), timedelta(days=1)
    intermediate = Authority.new("a root of its own").intermediate()
    return {
        "no certificate": None,
        "expired": authority.issue(name, start=-2 * day),
        "not yet valid": authority.issue(name, start=day),
        "another trust domain": foreign(),
        "a self-made authority": Authority.new(str(authority.certificate.subject.rfc4514_string())).issue(
            name
        ),
        "a self-made chain": intermediate.issue(name),
        "a self-signed name": _self_signed(name),
    }


def _self_signed(name: str) -> Pair:
    """A certificate that is its own authority, for an identity."""
    authority = Authority.new(name)
    return Pair(authority.pem, authority.key_pem)


@pytest.mark.parametrize("who", list(imposters(Authority.new())))
def test_who_cannot_prove_an_identity_is_refused(
    plain: PodClient, authority: Authority, forecast: Pod, who: str
) -> None:
    pair = imposters(authority)[who]
    for version in ("1.3", "1.2"):
        assert not shake(plain, forecast, PORT, pair, version=version).taken
    shown = {"tls": pair.tls(alpn=["istio"])} if pair else {}
    (response,) = plain.get(f"https://{forecast.address}:{PORT}/weather", **shown)
    assert response.error
    assert shake(plain, forecast, PORT, authority.issue(identity("client"))).taken, "the good one still is"


def test_a_server_that_is_not_who_it_should_be_gets_no_request(weather: Weather) -> None:
    """The caller checks the identity of the callee."""
    service = {
        "ports": [{"name": "http", "port": 3003, "targetPort": 3003}],
        "selector": {"app": "advertisement"},
    }
    weather.mesh.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "twin", "namespace": "weather"},
            "spec": service,
        }
    )
    weather.client.get_until("http://twin:3003/ads", all_ok())
    tls = {"mode": "ISTIO_MUTUAL", "subjectAltNames": [identity("somebody-else")]}
    host = "twin.weather.svc.cluster.local"
    weather.mesh.apply(networking("DestinationRule", "twin", host=host, trafficPolicy={"tls": tls}))
    weather.client.get("http://twin:3003/ads", keep_alive=False).check(status(503))


def test_who_may_call_is_decided_by_identity(
    weather: Weather, neighbour: PodClient, plain: PodClient, authority: Authority
) -> None:
    weather.mesh.apply(one_request_each("forecast"))
    weather.mesh.apply(
        authorize("clients", "ALLOW", sources(principals=["cluster.local/ns/weather/sa/client"]))
    )
    weather.client.get(weather.forecast, count=3).check(all_ok())
    url = "http://forecast.weather:3002/weather"
    (refused,) = neighbour.get(url).check(status(403))
    assert refused.body == FORBIDDEN
    plain.get(url).check(status(403))
    direct = f"https://{weather.pod('forecast', 'v1').address}:{PORT}/weather"
    as_client, as_other = (
        plain.get(direct, tls=authority.issue(identity(account)).tls(alpn=["istio"]))
        for account in ("client", "frontend")
    )
    as_client.check(all_ok())
    as_other.check(status(403))
