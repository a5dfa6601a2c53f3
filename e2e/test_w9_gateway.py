"""W9: outside clients come in through the ingress gateway, which routes and balances like any Envoy."""

import pytest

from e2e.helpers import to_forecast, virtual_service
from pytest_mesh import all_ok, assert_split, body_has, requests_needed, status, versions
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load

pytestmark = pytest.mark.behaviour("W9")
COUNTER = "cluster.outbound|3000||frontend.weather.svc.cluster.local.upstream_rq_total"


def test_the_page_is_reached_from_outside(weather: Weather) -> None:
    (response,) = weather.outside.get("/?city=Rome").check(status(200))
    assert response.headers["content-type"].startswith("text/html")
    assert "<h1>Rome</h1>" in response.body
    assert response.headers["server"] == "istio-envoy"


def test_every_service_takes_part_in_the_answer(weather: Weather) -> None:
    weather.mesh.apply(weather.rule("all-v2"))
    (response,) = weather.outside.get("/api/weather").check(all_ok())
    content = response.json
    pods = {pod.name for pod in weather.mesh.pods("weather")}
    assert {
        content["frontend"]["host"],
        content["forecast"]["host"],
        content["forecast"]["recommendation"]["host"],
        content["advertisement"]["host"],
    } <= pods
    assert content["errors"] == []


def test_it_goes_through_the_gateways_envoy(weather: Weather) -> None:
    gateway = weather.mesh.pod("istio-system", istio="ingressgateway").proxy
    before = gateway.stat(COUNTER)
    weather.outside.get("/api/weather", count=10, keep_alive=False).check(all_ok())
    assert gateway.stat(COUNTER) - before == 10


def test_the_gateway_carries_out_rules_of_its_own(weather: Weather) -> None:
    """A weighted route, a rewrite and a header match, in the gateway itself: no sidecar calls forecast."""
    routes: list[Obj] = [
        {
            "match": [{"uri": {"prefix": "/direct"}, "headers": {"end-user": {"exact": "tester"}}}],
            "rewrite": {"uri": "/weather"},
            "route": to_forecast(v2=100),
        },
        {
            "match": [{"uri": {"prefix": "/direct"}}],
            "rewrite": {"uri": "/weather"},
            "route": to_forecast(v1=50, v2=50),
        },
        {"route": [{"destination": {"host": "frontend", "port": {"number": 3000}}}]},
    ]
    weather.mesh.apply(virtual_service("frontend", "*", routes, gateways=["weather"]))
    weather.outside.get("/direct", headers={"end-user": "tester"}, count=10).check(all_ok(), versions("v2"))
    count = requests_needed(0.5, 0.7)
    responses = weather.outside.get("/direct", count=count, concurrency=4).check(all_ok())
    assert_split(responses.versions, {"v1": 1, "v2": 1})
    weather.outside.get("/api/weather").check(body_has("frontend.service", "frontend"))


def test_a_host_that_the_gateway_does_not_serve_is_not_found(weather: Weather) -> None:
    for item in load(weather.rule("gateway")):
        if item["kind"] == "Gateway":
            item["spec"]["servers"][0]["hosts"] = ["weather.example"]
        else:
            item["spec"]["hosts"] = ["weather.example"]
        weather.mesh.apply(item)
    weather.outside.get("/", headers={"Host": "weather.example"}).check(status(200))
    weather.outside.get("/", headers={"Host": "other.example"}).check(status(404))
