"""Every port that the control plane opens, asked by somebody who is nobody: refused, and nothing crashes.

What is not refused is meant for everybody: whether it is ready, its version, its metrics, and the webhooks,
which answer only questions that the API server could have asked.
"""

from datetime import timedelta

import pytest

from e2e.security import PILOT, SYSTEM, foreign, identity, run_inside, tls_secret
from pytest_mesh import all_ok
from pytest_mesh.authority import Authority, Pair
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

pytestmark = [pytest.mark.behaviour("S3", "S4", "X1"), pytest.mark.usefixtures("steady")]
CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
SDS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
XDS = f"{PILOT}:15012"
OPEN = {
    15014: "http",
    15004: "mutual",
    9411: "mutual",
    42422: "http",
    8060: "tls",
    8061: "mutual",
    15012: "mutual",
    9443: "tls",
    9901: "mutual",
    15017: "tls",
}
DEBUG = ("/debug/syncz", "/debug/config", "/debug/registry", "/debug/in-force")
LISTENING = """
LOOPBACK = "0100007F", "0000000000000000FFFF00000100007F", "0" * 24 + "01000000"
for name in ("/proc/net/tcp", "/proc/net/tcp6"):
    for line in open(name).readlines()[1:]:
        local, _, state = line.split()[1:4]
        address, port = local.split(":")
        if state == "0A" and address not in LOOPBACK:
            print(int(port, 16))
"""


@pytest.fixture(scope="module")
def authority(weather: Weather) -> Authority:
    return Authority.of(weather.mesh.api)


def control_plane(mesh: Mesh) -> list[Pod]:
    return [pod for pod in mesh.pods(SYSTEM) if pod.ready and "istio-proxy" not in pod.containers]


def ports_of(pod: Pod) -> set[int]:
    """The ports on which a Pod can be reached from elsewhere, by the kernel's own table."""
    return {int(line) for line in pod.run(pod.containers[-1], "python", "-c", LISTENING).split()}


def node(pod: Pod, *, kind: str = "sidecar", name: str = "", namespace: str = "", account: str = "") -> Obj:
    """What a proxy says of itself."""
    namespace = namespace or pod.namespace
    where = f"{name or pod.name}.{namespace}~{namespace}.svc.cluster.local"
    return {
        "id": f"{kind}~{pod.address}~{where}",
        "metadata": {"NAMESPACE": namespace, "SERVICE_ACCOUNT": account or pod.labels.get("app", "")},
    }


def ask_pilot(pod: Pod, who: Obj, pair: Pair | None, **wish: object) -> Obj:
    shown = {"certificate": pair.certificate, "key": pair.key} if pair else {}
    return run_inside(pod, "xds", **{"address": XDS, "type": CDS, "node": who, **shown, **wish})


def test_no_port_is_open_that_nobody_knows_of(weather: Weather) -> None:
    for pod in control_plane(weather.mesh):
        assert ports_of(pod) <= set(OPEN), pod


def test_who_is_nobody_is_refused_at_every_port(weather: Weather, plain: PodClient) -> None:
    tried = 0
    for pod in control_plane(weather.mesh):
        for port in ports_of(pod) & set(OPEN):
            address = f"{pod.address}:{port}"
            if OPEN[port] == "mutual":
                for tls in ({"alpn": ["h2"]}, {"alpn": ["h2"], "version": "1.2"}):
                    assert not plain.handshake(address, **tls).taken, (pod, port)
            if OPEN[port] != "http":
                (heard,) = plain.talk(address, send="GET /debug/syncz HTTP/1.1\r\nHost: a\r\n\r\n", timeout=3)
                assert "200 OK" not in heard.received, (pod, port)
            tried += 1
    assert tried >= 4


def test_the_debug_interface_is_closed_to_other_pods(weather: Weather, plain: PodClient) -> None:
    for pod in control_plane(weather.mesh):
        if 15014 in ports_of(pod):
            for path in (*DEBUG, "/debug/mixer", "/usage.csv"):
                (response,) = plain.get(f"http://{pod.address}:15014{path}")
                assert response.status in (403, 404), (pod, path, response)
            plain.get(f"http://{pod.address}:15014/ready").check(all_ok())


def test_webhooks_answer_nothing_but_reviews(weather: Weather, plain: PodClient) -> None:
    for pod in control_plane(weather.mesh):
        if 9443 not in ports_of(pod):
            continue
        for path in ("/inject", "/validate", "/", "/debug/syncz"):
            for body in ("", "{}", "nonsense", '{"request": 5}'):
                plan = {"method": "POST", "body": body, "headers": {"content-type": "application/json"}}
                (response,) = plain.call(f"https://{pod.address}:9443{path}", **plan)
                assert response.error or response.status >= 400 or '"allowed": false' in response.body, (
                    response
                )
                assert "Traceback" not in response.body


def test_a_proxy_gets_its_own_configuration(weather: Weather, authority: Authority) -> None:
    pod = weather.client.pod
    told = ask_pilot(pod, node(pod), authority.issue(identity("client")))
    assert told["code"] == "OK", told
    assert told["resources"] > 5


@pytest.mark.parametrize("claim", ["namespace", "account", "gateway", "address"])
def test_a_proxy_that_asks_for_anothers_configuration_is_refused(
    weather: Weather, authority: Authority, claim: str
) -> None:
    pod, other = weather.client.pod, weather.pod("frontend")
    gateway = weather.mesh.pod(SYSTEM, istio="ingressgateway")
    claims = {
        "namespace": node(pod, namespace="neighbour"),
        "account": node(other, account="frontend"),
        "gateway": node(gateway, kind="router", account="istio-ingressgateway"),
        "address": {**node(other), "metadata": {"NAMESPACE": "weather", "SERVICE_ACCOUNT": "frontend"}},
    }
    told = ask_pilot(pod, claims[claim], authority.issue(identity("client")))
    assert told["code"] in ("PERMISSION_DENIED", "UNAUTHENTICATED"), told
    assert told["resources"] == 0


@pytest.mark.parametrize(
    "who",
    ["no certificate", "expired", "another trust domain", "a self-made authority", "no identity", "plain"],
)
def test_pilot_refuses_who_is_not_of_the_mesh(weather: Weather, authority: Authority, who: str) -> None:
    pod, name = weather.client.pod, identity("client")
    pairs = {
        "expired": authority.issue(name, start=-timedelta(days=2)),
        "another trust domain": foreign(),
        "a self-made authority": Authority.new().issue(name),
        "no identity": authority.issue("client.weather.svc"),
    }
    told = ask_pilot(pod, node(pod), pairs.get(who), plain=who == "plain")
    assert told["code"] in ("UNAVAILABLE", "UNAUTHENTICATED", "PERMISSION_DENIED", "DEADLINE_EXCEEDED"), told
    assert told["resources"] == 0


def test_a_sidecar_gets_no_gateways_secret(weather: Weather, authority: Authority) -> None:
    pair = Authority.new().issue("gateway.example")
    weather.mesh.apply(tls_secret("gateway-cert", "weather", pair), wait=False)
    pod = weather.client.pod
    names = ["kubernetes://gateway-cert", "kubernetes://weather/gateway-cert", "kubernetes://istio-ca-secret"]
    told = ask_pilot(pod, node(pod), authority.issue(identity("client")), type=SDS, names=names)
    assert told["resources"] == 0, told


def test_plain_xds_is_not_reached_from_elsewhere(weather: Weather, plain: PodClient) -> None:
    for pod in weather.mesh.pods(SYSTEM, app="istio-pilot"):
        (heard,) = plain.talk(f"{pod.address}:15010", timeout=2)
        assert not heard.connected
