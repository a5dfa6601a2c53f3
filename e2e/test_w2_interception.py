"""W2: all TCP of a Pod goes through its Envoy, and the application notices nothing.

Proved twice: the counters of both Envoys move with every request; and where an Envoy's listeners are taken
away, traffic stops, but for what was excluded from interception.
"""

from collections.abc import Iterator

import pytest

import weather as demo
from e2e.helpers import OUTBOUND, another_client, inbound_requests
from pytest_mesh import all_ok, body_has, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.mesh import Mesh, Source
from pytest_mesh.traffic import PodClient

pytestmark = pytest.mark.behaviour("W2")
ECHO = demo.FOLDER / "extra" / "echo.yaml"
COUNT = 40


@pytest.fixture(scope="module")
def victims(weather: Weather) -> Iterator[Mesh]:
    """An echo server, and a client for whom port 81 and a range of addresses are excluded."""
    mesh = weather.mesh
    range_ = f"{weather.pod('advertisement').address}/32"
    excluded = {
        "traffic.sidecar.istio.io/excludeOutboundPorts": "81",
        "traffic.sidecar.istio.io/excludeOutboundIPRanges": range_,
    }
    items: list[Source] = [*another_client("victim", **excluded), ECHO]
    with mesh.undoing():
        written = [each for item in items for each in mesh.apply(item, wait=False)]
        mesh.wait_for(written)
        yield mesh


def test_the_counters_of_both_envoys_move_with_every_request(weather: Weather) -> None:
    callees = weather.mesh.pods("weather", app="forecast")
    caller = weather.client.pod.proxy
    counter = f"cluster.{OUTBOUND}.upstream_rq_total"
    before = caller.stat(counter), {pod.name: inbound_requests(pod) for pod in callees}
    responses = weather.client.get(weather.forecast, count=COUNT).check(all_ok())
    assert caller.stat(counter) - before[0] == COUNT
    for pod in callees:  # the kubelet's probes come in the same way, so there may be more
        assert inbound_requests(pod) - before[1][pod.name] >= responses.hosts[pod.name]


def test_traffic_of_a_protocol_that_envoy_does_not_know_is_counted_too(
    victims: Mesh, weather: Weather
) -> None:
    caller = weather.client.pod.proxy
    counter = "cluster.outbound|90||echo.weather.svc.cluster.local.upstream_cx_total"
    before = caller.stat(counter)
    weather.client.send("tcp://echo:90", count=5, keep_alive=False).check(all_ok())
    assert caller.stat(counter) - before == 5


def test_the_application_sees_the_request_as_it_was_sent(victims: Mesh, weather: Weather) -> None:
    sent = {"x-mine": "1", "content-type": "text/plain"}
    responses = weather.client.call("http://echo/a/b?c=d", method="PUT", headers=sent, body="hello")
    seen = responses.check(all_ok())[0].json
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/a/b?c=d", "hello")
    assert seen["headers"]["host"] == "echo"
    assert {name: seen["headers"][name] for name in sent} == sent


def test_inbound_traffic_reaches_the_application_from_its_own_envoy(victims: Mesh, weather: Weather) -> None:
    weather.client.get("http://echo/").check(body_has("peer", "127.0.0.6"))


def test_without_its_listeners_a_pod_receives_nothing(victims: Mesh, weather: Weather) -> None:
    echo = victims.pod("weather", app="echo")
    direct = f"http://{echo.address}:8080/"
    weather.client.get(direct, count=3, keep_alive=False).check(all_ok())
    echo.proxy.request("POST", "/drain_listeners")
    try:
        refused = weather.client.get(direct, count=3, keep_alive=False)
        assert len(refused.failed) == 3
        listening = echo.run("echo", "python", "-c", LISTENING)
        assert "8080" in listening.split(), "the application itself must still listen"
    finally:
        echo.delete(grace_seconds=0)
        eventually(lambda: weather.client.get("http://echo/").check(all_ok()), 30)


def test_without_its_listeners_a_pod_sends_nothing_but_what_is_excluded(
    victims: Mesh, weather: Weather
) -> None:
    pod = victims.pod("weather", app="victim")
    victim = PodClient(pod)
    victim.get(weather.forecast).check(all_ok())
    direct = f"http://{weather.pod('advertisement').address}:3003/ads"
    excluded = ("http://echo:81/", direct)
    for url in excluded:
        victim.get(url).check(all_ok())
    pod.proxy.request("POST", "/drain_listeners")
    stopped = victim.get(weather.forecast, count=3, keep_alive=False)
    assert [response.status for response in stopped] == [0] * 3
    assert all("Connect" in response.error for response in stopped)
    for url in excluded:
        victim.get(url, count=3, keep_alive=False).check(all_ok())


def test_the_proxys_own_uid_is_not_intercepted(victims: Mesh, weather: Weather) -> None:
    pod = victims.pod("weather", app="victim")
    assert pod.run("victim" if "victim" in pod.containers else "client", "id", "-u").strip() == "1000"
    assert pod.run("istio-proxy", "id", "-u").strip() == "1337"
    pod.proxy.request("POST", "/drain_listeners")
    answer = pod.run("istio-proxy", "python", "-c", FETCH, weather.forecast)
    assert '"service": "forecast"' in answer


FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode())"
# The local ports of listening sockets, from the kernel's own table.
LISTENING = """
for line in open("/proc/net/tcp").readlines()[1:]:
    local, _, state = line.split()[1:4]
    if state == "0A":
        print(int(local.split(":")[1], 16))
"""
