"""X4, first half: Pilot is killed under traffic. No request fails, and the next Pilot takes over.

The traffic: 50 requests/s each over kept and fresh connections, HTTP and TCP, client retries off.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import weather as demo
from e2e.helpers import split, with_proxy
from pytest_mesh import NotReady, all_ok, eventually, versions
from pytest_mesh.demo import Weather
from pytest_mesh.errors import ApiRefused
from pytest_mesh.traffic import Load

pytestmark = pytest.mark.behaviour("X4")
RATE = 50
GONE = (ApiRefused, NotReady)


@pytest.fixture(scope="module")
def echo(weather: Weather) -> Iterator[None]:
    with weather.mesh.applied(demo.FOLDER / "extra" / "echo.yaml"):
        yield


def start_all(weather: Weather, stack: ExitStack) -> list[Load]:
    urls = (weather.forecast, "tcp://echo:90")
    return [
        stack.enter_context(weather.client.load(url, rate=RATE, keep_alive=kept, body=body))
        for url, body in zip(urls, ("", "hello"), strict=True)
        for kept in (True, False)
    ]


def test_pilot_killed_under_traffic_fails_no_request(weather: Weather, echo: None) -> None:
    mesh, client = weather.mesh, weather.client
    proxies = with_proxy(mesh)
    pilot = mesh.pod("istio-system", app="istio-pilot")
    mesh.apply(split(v1=100))
    with ExitStack() as stack:
        loads = start_all(weather, stack)
        loads[0].wait_for(RATE // 2)
        pilot.delete(grace_seconds=0)
        eventually(lambda: pilot.name not in {p.name for p in mesh.pods("istio-system")}, 10)
        client.get(weather.forecast, count=20, keep_alive=False).check(all_ok(), versions("v1"))
        eventually(lambda: set(mesh.pilot.proxies()) >= proxies, 60, retry_on=GONE)
        mesh.settle()
        mesh.apply(split(v2=100))
        client.get(weather.forecast, count=20, keep_alive=False).check(all_ok(), versions("v2"))
        loads[0].wait_for(RATE // 2)
    for load in loads:
        assert len(load.responses) > RATE
        load.responses.check(all_ok())


def test_a_pilot_that_ends_is_restarted_in_place_and_fails_no_request(weather: Weather, echo: None) -> None:
    mesh = weather.mesh
    proxies = with_proxy(mesh)
    pilot = mesh.pod("istio-system", app="istio-pilot")
    with ExitStack() as stack:
        loads = start_all(weather, stack)
        mesh.api.exec(pilot.namespace, pilot.name, "discovery", ["sh", "-c", "kill 1"])
        eventually(lambda: restarts(pilot.refresh().item) == 1, 30)
        eventually(lambda: set(mesh.pilot.proxies()) >= proxies, 60, retry_on=GONE)
        mesh.apply(weather.rule("all-v1"))
        weather.client.get(weather.forecast, count=20).check(all_ok(), versions("v1"))
    for load in loads:
        load.responses.check(all_ok())


def restarts(item: dict[str, object]) -> int:
    status = item["status"]
    assert isinstance(status, dict)
    return sum(each["restartCount"] for each in status["containerStatuses"])
