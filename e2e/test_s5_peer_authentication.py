"""S5: who has to speak mutual TLS, by PeerAuthentication of the mesh, a namespace, a workload, a port.

Each case is tried from a Pod without a sidecar, by plain HTTP and by TLS with a good certificate, straight
to the callee's Pod, so that nobody on the caller's side helps; and from a sidecar, which must find the way.
"""

from typing import Any

import pytest

from e2e.conftest import EXTRA, Outside
from e2e.security import ALPN, identity, one_request_each, peers, shake
from pytest_mesh import all_ok, eventually
from pytest_mesh.authority import Authority, Pair, identity_of
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

pytestmark = pytest.mark.behaviour("S5")
PORT = 8080
CERTIFICATE = "x-forwarded-client-cert"
HOST = "echo.weather.svc.cluster.local"


@pytest.fixture(scope="module")
def pair(weather: Weather) -> Pair:
    """A certificate that the mesh has to believe."""
    return Authority.of(weather.mesh.api).issue(identity("client", "plain"))


def takes_plain(plain: PodClient, pod: Pod, port: int = PORT) -> bool:
    (response,) = plain.get(f"http://{pod.address}:{port}/", keep_alive=False)
    assert response.ok or response.error, "plain text is taken, or the connection is ended without an answer"
    return response.ok


def takes_mutual(plain: PodClient, pod: Pod, pair: Pair, port: int = PORT) -> bool:
    return shake(plain, pod, port, pair).taken


def seen_by_echo(client: PodClient, url: str = "http://echo/", **plan: Any) -> Obj:
    (response,) = client.get(url, **plan).check(all_ok())
    headers: Obj = response.json["headers"]
    return headers


@pytest.mark.parametrize(
    ("policies", "plain_text", "mutual"),
    [
        ([], True, True),
        ([peers("STRICT", "istio-system")], False, True),
        ([peers("STRICT")], False, True),
        ([peers("DISABLE")], True, False),
        ([peers("STRICT", "istio-system"), peers("PERMISSIVE")], True, True),
        ([peers("STRICT", "istio-system"), peers("DISABLE", app="echo")], True, False),
        ([peers("DISABLE", "istio-system"), peers("PERMISSIVE"), peers("STRICT", app="echo")], False, True),
        ([peers("STRICT"), peers("UNSET", app="echo")], False, True),
        ([peers("STRICT"), peers("", app="echo", ports={PORT: "PERMISSIVE"})], True, True),
        ([peers("STRICT"), peers("STRICT", app="echo", ports={PORT: "DISABLE"})], True, False),
        ([peers("STRICT"), peers("PERMISSIVE", app="forecast")], False, True),
    ],
    ids=[
        "nothing", "mesh strict", "namespace strict", "namespace disable", "namespace over mesh",
        "workload over mesh", "workload over both", "unset inherits", "port permissive", "port disable",
        "another workload's",
    ],
)  # fmt: skip
def test_the_narrowest_policy_counts_and_sidecars_find_the_way(
    weather: Weather,
    plain: PodClient,
    echo: Pod,
    pair: Pair,
    policies: list[Obj],
    plain_text: bool,
    mutual: bool,
) -> None:
    for policy in policies:
        weather.mesh.apply(policy)
    assert takes_plain(plain, echo) == plain_text
    assert takes_mutual(plain, echo, pair) == mutual
    headers = seen_by_echo(weather.client)
    assert (CERTIFICATE in headers) == mutual, "a sidecar speaks mutual TLS wherever it is taken"


def test_another_port_is_not_meant_by_a_port_level_policy(
    weather: Weather, plain: PodClient, echo: Pod, pair: Pair
) -> None:
    weather.mesh.apply(peers("STRICT", app="echo", ports={PORT: "DISABLE"}))
    (refused,) = plain.send(f"tcp://{echo.address}:9000", keep_alive=False)
    assert refused.error
    (taken,) = plain.send(f"tls://{echo.address}:9000", tls=pair.tls(alpn=ALPN)).check(all_ok())
    assert taken.body.endswith("hello")
    weather.client.send("tcp://echo:90").check(all_ok())


def test_what_has_no_sidecar_is_spoken_to_in_plain_text(
    weather: Weather, outside_servers: Outside, steady: None
) -> None:
    weather.mesh.apply(peers("STRICT", "istio-system"))
    headers = seen_by_echo(weather.client, f"http://{outside_servers.host}/")
    assert CERTIFICATE not in headers
    weather.client.send(f"tcp://{outside_servers.host}:9000").check(all_ok())


def test_the_certificate_that_a_sidecar_shows_is_its_workloads(
    weather: Weather, neighbour: PodClient, echo: Pod
) -> None:
    for client, namespace in ((weather.client, "weather"), (neighbour, "neighbour")):
        seen = seen_by_echo(client, f"http://{HOST}/")[CERTIFICATE]
        assert f"URI={identity('client', namespace)}" in seen
        assert f"By={identity('default')}" in seen


def test_a_destination_rule_overrides_what_would_be_chosen(weather: Weather, echo: Pod) -> None:
    def rule(mode: str) -> Obj:
        return one_request_each("echo", tls={"mode": mode})

    weather.mesh.apply(rule("DISABLE"))
    assert CERTIFICATE not in seen_by_echo(weather.client)
    weather.mesh.apply(rule("ISTIO_MUTUAL"))
    assert CERTIFICATE in seen_by_echo(weather.client)
    weather.mesh.apply(peers("STRICT"))
    weather.mesh.apply(rule("DISABLE"))
    (refused,) = weather.client.get("http://echo/", keep_alive=False)
    assert refused.status == 503, "plain text to a STRICT port"


def test_when_a_sidecar_appears_no_request_fails(weather: Weather) -> None:
    """A Deployment is rolled from Pods without to Pods with a sidecar, under 50 requests a second."""
    mesh = weather.mesh
    service, deployment = load(EXTRA / "echo.yaml")
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"] = {"sidecar.istio.io/inject": "false"}
    deployment["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    with mesh.undoing():
        mesh.apply(service, wait=False)
        mesh.apply(deployment)
        weather.client.get_until("http://echo/", all_ok())
        assert CERTIFICATE not in seen_by_echo(weather.client)
        with (
            weather.client.load("http://echo/", rate=25) as kept,
            weather.client.load("http://echo/", rate=25, keep_alive=False) as fresh,
        ):
            kept.wait_for(20)
            template["metadata"]["annotations"] = {"sidecar.istio.io/inject": "true"}
            mesh.apply(deployment)
            eventually(lambda: CERTIFICATE in seen_by_echo(weather.client, keep_alive=False), 20)
            kept.wait_for(20)
        for load_ in (kept, fresh):
            load_.responses.check(all_ok())
        answered = [CERTIFICATE in response.json["headers"] for response in fresh.responses]
        assert not answered[0]
        assert answered[-1]


def test_the_server_shows_its_own_identity(weather: Weather, plain: PodClient, echo: Pod, pair: Pair) -> None:
    heard = shake(plain, echo, PORT, pair)
    assert identity_of(heard.leaf) == identity("default")
    assert heard.version == "TLSv1.3"
