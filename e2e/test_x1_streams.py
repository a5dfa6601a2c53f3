"""X1: all types over one aggregated stream, delta and state-of-the-world; changes never drop a request."""

from collections.abc import Iterator

import pytest

from e2e.helpers import another_client, destination_rule, split, virtual_service
from pytest_mesh import all_ok, versions
from pytest_mesh.demo import Weather
from pytest_mesh.pods import Pod
from pytest_mesh.traffic import PodClient

pytestmark = pytest.mark.behaviour("X1")
TYPES = {"CDS", "LDS", "EDS", "RDS"}
STREAMS = {
    "delta": "DeltaAggregatedResources",
    "sotw": "StreamAggregatedResources",
}


@pytest.fixture(scope="module")
def sotw(weather: Weather) -> Iterator[Pod]:
    """A client whose Envoy speaks the state-of-the-world form."""
    annotation = 'proxyMetadata:\n  ISTIO_DELTA_XDS: "false"\n'
    with weather.mesh.undoing():
        items = [
            each
            for item in another_client("sotw", **{"proxy.istio.io/config": annotation})
            for each in weather.mesh.apply(item, wait=False)
        ]
        weather.mesh.wait_for(items)
        yield weather.mesh.pod("weather", app="sotw")


def api_type(pod: Pod) -> str:
    (bootstrap,) = [
        each["bootstrap"]
        for each in pod.proxy.json("/config_dump")["configs"]
        if each["@type"].endswith("BootstrapConfigDump")
    ]
    return str(bootstrap["dynamic_resources"]["ads_config"]["api_type"])


def test_every_proxy_has_all_types_in_sync_over_one_stream(weather: Weather) -> None:
    weather.mesh.settle()
    for name, proxy in weather.mesh.pilot.proxies().items():
        states = {short: state["status"] for short, state in proxy["types"].items() if short in TYPES}
        optional = {"RDS"} if "egressgateway" in name else set()  # it may have no routes yet
        assert set(TYPES) - optional <= set(states), name
        assert set(states.values()) == {"SYNCED"}, name
    assert weather.client.pod.proxy.stat("cluster.xds-grpc.upstream_rq_active") == 1


def test_delta_is_what_proxies_speak_unless_told_otherwise(weather: Weather, sotw: Pod) -> None:
    assert api_type(weather.client.pod) == "DELTA_GRPC"
    assert api_type(sotw) == "GRPC"


def test_both_forms_carry_the_same_configuration(weather: Weather, sotw: Pod) -> None:
    names = [
        {each["cluster"]["name"] for each in pod.proxy.config("dynamic_active_clusters")}
        for pod in (weather.client.pod, sotw)
    ]
    assert {name for name in names[0] if name.startswith("outbound|")} == {
        name for name in names[1] if name.startswith("outbound|")
    }


@pytest.mark.parametrize("form", ["delta", "sotw"])
def test_both_forms_follow_every_change(weather: Weather, sotw: Pod, form: str) -> None:
    client = weather.client if form == "delta" else PodClient(sotw)
    for version in ("v1", "v2", "v1"):
        weather.mesh.apply(weather.rule(f"all-{version}"))
        client.get(weather.forecast, count=10).check(all_ok(), versions(version))


def test_no_request_is_lost_while_clusters_and_routes_come_and_go(weather: Weather, sotw: Pod) -> None:
    """New subsets, routes to them, other balancing, and their removal: ten times, under 100 requests/s each.

    Make before break: a route must never name a cluster that Envoy has not warmed yet, nor keep one that has
    gone. Client retries are off; every request has to be answered.
    """
    mesh, url = weather.mesh, weather.forecast
    with (
        weather.client.load(url, rate=50, keep_alive=False) as fresh,
        weather.client.load(url, rate=50) as kept,
        PodClient(sotw).load(url, rate=100) as other,
    ):
        for turn in range(5):
            with mesh.undoing():
                rule = destination_rule(loadBalancer={"simple": ("RANDOM", "ROUND_ROBIN")[turn % 2]})
                rule["spec"]["subsets"].append({"name": f"turn-{turn}", "labels": {"version": "v1"}})
                mesh.apply(rule)
                subset = {"destination": {"host": "forecast", "subset": f"turn-{turn}"}}
                mesh.apply(virtual_service("forecast", "forecast", [{"route": [subset]}]))
                mesh.apply(split(v1=50, v2=50))
    for load in (fresh, kept, other):
        load.responses.check(all_ok())
        assert len(load.responses) > 50


def test_rules_and_subsets_in_one_step_lose_no_request(weather: Weather) -> None:
    """A rule and the subset that it needs, written in the wrong order, and both removed again."""
    mesh = weather.mesh
    rule = destination_rule()
    rule["spec"]["subsets"].append({"name": "late", "labels": {"version": "v2"}})
    route = {"route": [{"destination": {"host": "forecast", "subset": "late"}}]}
    mesh.apply(rule)
    with weather.client.load(weather.forecast, rate=100) as load:
        mesh.apply(virtual_service("forecast", "forecast", [route]))
        weather.client.get(weather.forecast, count=10).check(all_ok(), versions("v2"))
    load.responses.check(all_ok())
