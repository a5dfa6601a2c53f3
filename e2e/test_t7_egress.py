"""T7: the way out: servers outside the mesh become known by ServiceEntry (STATIC and DNS), TLS is begun by
the sidecar or by the egress gateway, and what is not known is refused where only the known is allowed.

The server outside is a Pod without sidecar in a namespace of its own; the mesh knows it only by entries.
"""

from typing import Any

import pytest

from e2e.conftest import EXTRA, OUTSIDE, Outside
from e2e.security import SYSTEM, identity, mesh_settings, networking, secret, tls_secret
from pytest_mesh import all_ok, body_has, eventually, status
from pytest_mesh.authority import Authority
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load

pytestmark = [pytest.mark.behaviour("T7"), pytest.mark.usefixtures("steady")]
HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}
HTTPS = {"number": 443, "name": "https", "protocol": "HTTPS"}


def entry(resolution: str, *ports: Obj, **more: Any) -> Obj:
    """A ServiceEntry for the name of the server outside."""
    location = {"location": "MESH_EXTERNAL", "resolution": resolution}
    return networking("ServiceEntry", "outside", hosts=[OUTSIDE], ports=list(ports), **location, **more)


def by_address(outside: Outside, *ports: Obj, **to: int) -> Obj:
    endpoint: Obj = {"address": outside.pod.address}
    if to:
        endpoint["ports"] = to
    return entry("STATIC", *ports, endpoints=[endpoint], addresses=["240.240.1.1"])


def by_name(outside: Outside, *ports: Obj, **to: int) -> Obj:
    endpoint: Obj = {"address": outside.host}
    if to:
        endpoint["ports"] = to
    return entry("DNS", *ports, endpoints=[endpoint], addresses=["240.240.1.2"])


@pytest.mark.parametrize("how", ["static", "dns"])
def test_a_server_outside_is_reached_by_its_entry(
    weather: Weather, outside_servers: Outside, how: str
) -> None:
    make, to, address = {
        "static": (by_address, 8080, "240.240.1.1"),
        "dns": (by_name, 80, "240.240.1.2"),
    }[how]
    weather.mesh.apply(make(outside_servers, HTTP, http=to))
    (response,) = weather.client.get(f"http://{address}/", headers={"Host": OUTSIDE}).check(all_ok())
    assert response.json["headers"]["host"] == OUTSIDE
    assert response.json["tls"] is None
    cluster = f"outbound|80||{OUTSIDE}"
    assert weather.client.pod.proxy.stat(f"cluster.{cluster}.upstream_rq_total") >= 1
    rule = {"fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}}
    route = {"route": [{"destination": {"host": OUTSIDE}}], **rule}
    weather.mesh.apply(networking("VirtualService", "outside", hosts=[OUTSIDE], http=[route]))
    weather.client.get(f"http://{address}/", headers={"Host": OUTSIDE}).check(status(418))


def test_tls_of_the_application_passes_through(weather: Weather, outside_servers: Outside) -> None:
    weather.mesh.apply(by_address(outside_servers, HTTPS, https=8443))
    tls = {"ca": outside_servers.authority.pem, "server_name": OUTSIDE, "check_name": True}
    weather.client.get("https://240.240.1.1/", tls=tls, headers={"Host": OUTSIDE}).check(
        all_ok(), body_has("tls.sni", OUTSIDE)
    )


def originate(mode: str, **tls: Any) -> Obj:
    """Whoever calls the server outside on port 80 speaks TLS with it."""
    policy = {"portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": mode, "sni": OUTSIDE, **tls}}]}
    return networking("DestinationRule", "outside", host=OUTSIDE, trafficPolicy=policy)


def test_the_sidecar_begins_tls(weather: Weather, outside_servers: Outside) -> None:
    weather.mesh.apply(by_address(outside_servers, HTTP, http=8443))
    weather.mesh.apply(originate("SIMPLE", insecureSkipVerify=True))
    (response,) = weather.client.get("http://240.240.1.1/", headers={"Host": OUTSIDE}).check(all_ok())
    assert response.json["tls"]["sni"] == OUTSIDE
    assert response.json["tls"]["client"] == []


def test_the_other_sides_certificate_is_checked(weather: Weather, outside_servers: Outside) -> None:
    """Its authority is none that this machine trusts by itself."""
    weather.mesh.apply(by_address(outside_servers, HTTP, http=8443))
    weather.mesh.apply(originate("SIMPLE", subjectAltNames=[OUTSIDE]))
    weather.client.get("http://240.240.1.1/", headers={"Host": OUTSIDE}).check(status(503))


def test_a_server_that_trusts_the_mesh_learns_who_calls(weather: Weather, outside_servers: Outside) -> None:
    """ISTIO_MUTUAL to a server outside, with a certificate of Citadel's: it tells what it was shown."""
    citadel = Authority.of(weather.mesh.api)
    pair = citadel.issue(identity("outside", "outside"))
    mesh = weather.mesh
    item = tls_secret("outside-tls", "outside", pair, ca_crt=citadel.pem)
    deployment = restarted("outside")
    mesh.apply(item, wait=False)
    mesh.apply(deployment)
    server = mesh.pod("outside", app="outside")
    weather.mesh.apply(entry("STATIC", HTTP, endpoints=[{"address": server.address, "ports": {"http": 8443}}],
                             addresses=["240.240.1.1"]))  # fmt: skip
    weather.mesh.apply(originate("ISTIO_MUTUAL", subjectAltNames=[identity("outside", "outside")]))
    (response,) = weather.client.get("http://240.240.1.1/", headers={"Host": OUTSIDE}).check(all_ok())
    assert response.json["tls"]["client"] == [identity("client")]


def restarted(name: str) -> Obj:
    """The Deployment of the server outside, to be rolled anew."""
    (item,) = [
        each
        for each in load(EXTRA / "outside.yaml")
        if each["kind"] == "Deployment" and each["metadata"]["name"] == name
    ]
    item["spec"]["template"]["metadata"]["annotations"] = {"rolled": "anew"}
    return item


def egress(outside: Outside, **tls: Any) -> list[Obj]:
    """From the sidecar through the egress gateway, which begins TLS to the server outside."""
    gateway = "istio-egressgateway.istio-system.svc.cluster.local"
    ways = [
        {
            "match": [{"gateways": ["mesh"], "port": 80}],
            "route": [{"destination": {"host": gateway, "port": {"number": 80}}}],
        },
        {
            "match": [{"gateways": ["egress"], "port": 80}],
            "route": [{"destination": {"host": OUTSIDE, "port": {"number": 443}}}],
            "headers": {"request": {"set": {"x-through": "egress"}}},
        },
    ]
    port = {"number": 443, "name": "http-tls", "protocol": "HTTP"}
    item = entry("STATIC", HTTP, port, addresses=["240.240.1.1"], endpoints=[
        {"address": outside.pod.address, "ports": {"http": 8080, "http-tls": 8443}},
    ])  # fmt: skip
    pool = {"http": {"maxRequestsPerConnection": 1}}
    settings = {"port": {"number": 443}, "connectionPool": pool, "tls": {"sni": OUTSIDE, **tls}}
    policy = {"portLevelSettings": [settings]}
    selector = {"istio": "egressgateway"}
    return [
        item,
        networking("Gateway", "egress", selector=selector, servers=[{"port": HTTP, "hosts": [OUTSIDE]}]),
        networking("VirtualService", "egress", hosts=[OUTSIDE], gateways=["mesh", "egress"], http=ways),
        networking("DestinationRule", "outside", host=OUTSIDE, trafficPolicy=policy),
    ]


def through(weather: Weather) -> Obj:
    (response,) = weather.client.get("http://240.240.1.1/", headers={"Host": OUTSIDE}).check(all_ok())
    found: Obj = response.json
    return found


def test_the_egress_gateway_begins_tls(weather: Weather, outside_servers: Outside) -> None:
    gateway = weather.mesh.pod(SYSTEM, istio="egressgateway")
    for item in egress(outside_servers, mode="SIMPLE", insecureSkipVerify=True):
        weather.mesh.apply(item)
    seen = through(weather)
    assert seen["tls"]["sni"] == OUTSIDE
    assert seen["headers"]["x-through"] == "egress"
    assert seen["peer"] == gateway.address


def test_the_egress_gateway_shows_a_certificate_from_a_secret(
    weather: Weather, outside_servers: Outside
) -> None:
    outside = outside_servers
    pair = outside.authority.issue("spiffe://partner.example/mesh")
    weather.mesh.apply(
        secret(
            "partner",
            SYSTEM,
            kind="Opaque",
            cert=pair.certificate,
            key=pair.key,
            cacert=outside.authority.pem,
        )
    )
    for item in egress(outside, mode="MUTUAL", credentialName="partner", subjectAltNames=[OUTSIDE]):
        weather.mesh.apply(item)
    assert through(weather)["tls"]["client"] == ["spiffe://partner.example/mesh"]
    other = Authority.new().issue("spiffe://partner.example/mesh")
    weather.mesh.apply(
        secret(
            "partner", SYSTEM, kind="Opaque", cert=other.certificate, key=other.key, cacert=other.certificate
        )
    )
    (refused,) = weather.client.get("http://240.240.1.1/", headers={"Host": OUTSIDE})
    assert refused.status == 503, (
        "what the Secret says now is in force: that authority did not sign the server"
    )


def test_what_is_not_known_is_refused_where_only_the_known_is_allowed(
    weather: Weather, outside_servers: Outside
) -> None:
    address = f"http://{outside_servers.pod.address}:8080/"
    weather.client.get(address, keep_alive=False).check(all_ok())
    with mesh_settings(weather.mesh, outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}):
        eventually(lambda: not weather.client.get(address, keep_alive=False)[0].ok, 20)
        weather.client.get(weather.forecast).check(all_ok())
        port = {"number": 8080, "name": "http", "protocol": "HTTP"}
        where = outside_servers.pod.address
        weather.mesh.apply(entry("STATIC", port, addresses=[where], endpoints=[{"address": where}]))
        weather.client.get(address, headers={"Host": OUTSIDE}, keep_alive=False).check(all_ok())
    eventually(lambda: weather.client.get(address, keep_alive=False)[0].ok, 20)
