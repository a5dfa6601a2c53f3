"""W5: requests with different features go to forecast v1 or v2 as the rules say."""

import pytest

from e2e.helpers import split
from pytest_mesh import all_ok, assert_split, body_has, requests_needed, versions
from pytest_mesh.demo import Weather

pytestmark = pytest.mark.behaviour("W5")
# Enough to tell 10 % from 20 %: a wrong split passes once in 1,000 runs, a right one fails once in 10^6.
ENOUGH = requests_needed(0.1, 0.2)


def test_by_percentage(weather: Weather) -> None:
    weather.mesh.apply(weather.rule("canary-90-10"))
    responses = weather.client.get(weather.forecast, count=ENOUGH, concurrency=4, keep_alive=False)
    assert_split(responses.check(all_ok()).versions, {"v1": 90, "v2": 10})


def test_a_rule_is_in_force_when_apply_returns(weather: Weather) -> None:
    """Not one request after a change is answered by the old version, however often it changes."""
    for turn in range(6):
        version = f"v{turn % 2 + 1}"
        weather.mesh.apply(weather.rule(f"all-{version}"))
        weather.client.get(weather.forecast, count=20, concurrency=4).check(all_ok(), versions(version))


def test_by_header(weather: Weather) -> None:
    weather.mesh.apply(weather.rule("by-header"))
    client, url = weather.client, weather.forecast
    client.get(url, headers={"end-user": "tester"}, count=20).check(all_ok(), versions("v2"))
    client.get(url, headers={"end-user": "somebody"}, count=20).check(all_ok(), versions("v1"))
    client.get(url, count=20).check(all_ok(), versions("v1"))


def test_by_header_through_gateway_and_frontend(weather: Weather) -> None:
    weather.mesh.apply(weather.rule("by-header"))
    for user, version in (("tester", "v2"), ("somebody", "v1")):
        responses = weather.outside.get("/api/weather", headers={"end-user": user}, count=10)
        responses.check(all_ok(), body_has("forecast.version", version))


def test_by_path(weather: Weather) -> None:
    weather.mesh.apply(weather.rule("by-path"))
    weather.client.get("http://forecast:3002/v2/weather", count=20).check(all_ok(), versions("v2"))
    weather.client.get("http://forecast:3002/weather", count=20).check(all_ok(), versions("v1"))


def test_by_method(weather: Weather) -> None:
    weather.mesh.apply(weather.rule("by-method"))
    url = weather.forecast
    weather.client.call(url, method="POST", count=20).check(all_ok(), versions("v2"))
    weather.client.call(url, method="PUT", count=20).check(all_ok(), versions("v1"))
    weather.client.get(url, count=20).check(all_ok(), versions("v1"))


def test_without_a_rule_both_versions_answer(weather: Weather) -> None:
    with weather.mesh.applied(split(v1=100)):
        weather.client.get(weather.forecast, count=20).check(versions("v1"))
    weather.client.get(weather.forecast, count=60).check(all_ok(), versions("v1", "v2"))
