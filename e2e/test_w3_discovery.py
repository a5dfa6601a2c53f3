"""W3: a caller's Envoy knows the callee's instances, and learns of every change at once."""

import pytest

from e2e.helpers import OUTBOUND, healthy_endpoints, mood, slice_addresses
from pytest_mesh import all_ok, eventually, hosts
from pytest_mesh.demo import Weather

pytestmark = pytest.mark.behaviour("W3")
AT_MOST = 1.0  # seconds from the EndpointSlice's change to the caller's pool


def test_the_pool_is_what_the_endpoint_slices_say(weather: Weather) -> None:
    assert healthy_endpoints(weather) == slice_addresses(weather.mesh)
    assert len(healthy_endpoints(weather)) == 2


def test_scaling_up_and_down_changes_the_pool_and_fails_no_request(weather: Weather) -> None:
    with weather.client.load(weather.forecast, rate=50) as load:
        weather.mesh.scale("weather", "forecast-v1", 2)
        assert healthy_endpoints(weather) == slice_addresses(weather.mesh)
        weather.client.get_until(weather.forecast, hosts(3), count=30)
        weather.mesh.scale("weather", "forecast-v1", 1)
        assert healthy_endpoints(weather) == slice_addresses(weather.mesh)
        weather.client.get(weather.forecast, count=30).check(all_ok(), hosts(2))
        load.wait_for(20)
    load.responses.check(all_ok())


def test_a_pod_that_fails_its_readiness_leaves_the_pool_and_comes_back(weather: Weather) -> None:
    pod = weather.pod("forecast", "v2")
    address = f"{pod.address}:3002"
    with mood(pod, 3002, healthy=0):
        eventually(lambda: address not in slice_addresses(weather.mesh), 30)
        eventually(lambda: address not in healthy_endpoints(weather), AT_MOST)
        weather.client.get(weather.forecast, count=10).check(all_ok(), hosts(1))
    eventually(lambda: address in slice_addresses(weather.mesh), 30)
    eventually(lambda: address in healthy_endpoints(weather), AT_MOST)
    weather.client.get_until(weather.forecast, all_ok(), hosts(2), count=20)


def test_a_deleted_pod_leaves_the_pool_and_its_successor_joins(weather: Weather) -> None:
    pod = weather.pod("forecast", "v2")
    with weather.client.load(weather.forecast, rate=50) as load:
        pod.delete()
        eventually(lambda: f"{pod.address}:3002" not in slice_addresses(weather.mesh), 10)
        eventually(lambda: f"{pod.address}:3002" not in healthy_endpoints(weather), AT_MOST)
        eventually(lambda: len(slice_addresses(weather.mesh)) == 2, 60)
        eventually(lambda: healthy_endpoints(weather) == slice_addresses(weather.mesh), AT_MOST)
    load.responses.check(all_ok())


def test_instances_come_from_pilot_over_eds(weather: Weather) -> None:
    (cluster,) = [
        each["cluster"]
        for each in weather.client.pod.proxy.config("dynamic_active_clusters")
        if each["cluster"]["name"] == OUTBOUND
    ]
    assert cluster["type"] == "EDS"
    assert "ads" in cluster["eds_cluster_config"]["eds_config"]
