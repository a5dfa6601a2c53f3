"""P2: each adapter on real traffic of the demo, by the demo's readable rules."""

from collections.abc import Iterator

import pytest

from e2e.conftest import Outside
from e2e.mixer import Mixer, check
from pytest_mesh import all_ok, body_has, eventually, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = [pytest.mark.behaviour("P2"), pytest.mark.usefixtures("fresh_connections", "steady")]
TO_FORECAST = 'destination.labels["app"] == "forecast"'
ADS = "http://advertisement:3003/ads"


@pytest.fixture
def v2(weather: Weather) -> Iterator[None]:
    """All requests for forecast go to v2, which asks recommendation."""
    weather.mesh.apply(weather.rule("all-v2"))
    yield


def test_denier_in_its_older_form(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(weather.rule("mixer/denier-old-form"))
    (refused,) = weather.client.get("http://forecast:3002/secret/plan").check(status(404))
    assert refused.body == "NOT_FOUND:secret.denier.weather:there is nothing to see"
    weather.client.get(weather.forecast).check(all_ok())


def test_a_white_list(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(weather.rule("mixer/white-list"))
    (refused,) = weather.client.get(weather.forecast).check(status(404))
    assert "client" in refused.body
    weather.outside.get("/api/weather", count=5).check(all_ok())
    weather.client.get(ADS).check(all_ok())


@pytest.mark.parametrize("name", ["deny-version", "black-list-version"])
def test_a_version_is_refused(weather: Weather, mixer: Mixer, v2: None, name: str) -> None:
    """Forecast v2 gets no recommendations; the client gets them, and v1 never wanted any."""
    url = "http://recommendation:3005/recommendation?condition=rain"
    before = weather.client.get(weather.forecast)[0].json["recommendation"]
    assert "text" in before
    mixer.apply(weather.rule(f"mixer/{name}"))
    (without,) = weather.client.get(weather.forecast).check(all_ok())
    assert "recommendation answered 403" in without.json["recommendation"]["error"]
    weather.client.get(url).check(all_ok())


LISTS: dict[str, tuple[Obj, str, str, str]] = {
    "strings": ({"overrides": ["good"]}, 'request.headers["x-key"] | ""', "good", "Good"),
    "case": (
        {"overrides": ["Good"], "entryType": "CASE_INSENSITIVE_STRINGS"},
        'request.headers["x-key"] | ""', "gOOD", "bad",
    ),
    "regular expressions": (
        {"overrides": ["^a+b$", "c[0-9]"], "entryType": "REGEX"},
        'request.headers["x-key"] | ""', "xc7", "ab!",
    ),
    "addresses": (
        {"overrides": ["10.1.0.0/16", "192.0.2.7"], "entryType": "IP_ADDRESSES"},
        'request.headers["x-key"] | "0.0.0.0"', "10.1.2.3", "192.0.2.8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_every_kind(weather: Weather, mixer: Mixer, kind: str) -> None:
    params, value, inside, outside = LISTS[kind]
    mixer.apply(check("list", TO_FORECAST, ("listchecker", params), ("listentry", {"value": value})))
    weather.client.get(weather.forecast, headers={"x-key": inside}).check(all_ok())
    assert weather.client.get(weather.forecast, headers={"x-key": outside})[0].status in (403, 404)


def test_a_list_from_a_url_is_read_again(weather: Weather, mixer: Mixer, outside_servers: Outside) -> None:
    url = "http://shelf.outside.svc.cluster.local:8085/callers"
    weather.client.call(url, method="PUT", body="one\ntwo\n").check(all_ok())
    params: Obj = {"providerUrl": url, "refreshInterval": "1s", "ttl": "5s", "cachingInterval": "1s"}
    fields: Obj = {"value": 'request.headers["x-key"] | ""'}
    mixer.apply(check("from-url", TO_FORECAST, ("listchecker", params), ("listentry", fields)))
    get = weather.client.get
    assert [get(weather.forecast, headers={"x-key": k})[0].ok for k in ("one", "three")] == [True, False]
    weather.client.call(url, method="PUT", body="three\n").check(all_ok())
    eventually(lambda: get(weather.forecast, headers={"x-key": "three"})[0].ok, 10)
    eventually(lambda: not get(weather.forecast, headers={"x-key": "one"})[0].ok, 10)


def test_rbac(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(weather.rule("mixer/rbac"))
    client = weather.client
    client.get(weather.forecast).check(all_ok())
    client.call(weather.forecast, method="POST").check(status(403))
    client.get("http://forecast:3002/other").check(status(403))
    weather.outside.get("/api/weather").check(all_ok())


def test_an_expression_in_cel(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(weather.rule("mixer/expression"))
    url = "http://forecast:3002/v2/weather"
    (refused,) = weather.client.get(url).check(status(403))
    assert "v2 is for testers" in refused.body
    assert weather.client.get(url, headers={"end-user": "tester"})[0].status != 403
    weather.client.get(weather.forecast).check(all_ok())


def test_a_refusal_of_one_service_is_told_by_another(weather: Weather, mixer: Mixer, v2: None) -> None:
    mixer.apply(weather.rule("mixer/deny-version"))
    weather.outside.get("/api/weather").check(all_ok(), body_has("forecast.version", "v2"))
