"""X2: what Envoy refuses is recorded in its own words, shown, counted, and disturbs nobody else."""

import json
import subprocess
import sys

import pytest

from e2e.helpers import split, to_forecast, virtual_service
from pytest_mesh import NotInForce, all_ok, versions
from pytest_mesh.demo import Weather

pytestmark = pytest.mark.behaviour("X2")
# A valid regular expression, so Galley takes it; Envoy limits the size of the compiled program and does not.
TOO_LARGE = "[a-z]{1000}" * 40
WORDS = "RE2 program size"


def refused_by_envoy() -> dict[str, object]:
    """A rule for requests to advertisement that no Envoy takes."""
    route = {
        "match": [{"uri": {"regex": TOO_LARGE}}],
        "route": [{"destination": {"host": "advertisement"}}],
    }
    return virtual_service("refused", "advertisement", [route])


def meshctl(weather: Weather, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesh.cli.main", *arguments]
    command += ["--kubeconfig", str(weather.mesh.cluster.kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def rejects(weather: Weather) -> float:
    metrics = weather.mesh.pilot.metrics()
    return sum(value for name, value in metrics.items() if name.startswith("pilot_total_xds_rejects"))


def test_a_nack_raises_with_envoys_words_and_is_shown_and_counted(weather: Weather) -> None:
    before = rejects(weather)
    with pytest.raises(NotInForce, match=WORDS) as caught:
        weather.mesh.apply(refused_by_envoy())
    assert caught.value.answer["state"] == "nack"
    refusing = {
        name: proxy["types"]["RDS"]
        for name, proxy in weather.mesh.pilot.proxies().items()
        if any(state["status"] == "NACK" for state in proxy["types"].values())
    }
    assert weather.client.pod.id in refusing
    assert all(state["status"] == "NACK" and WORDS in state["error"] for state in refusing.values())
    assert rejects(weather) >= before + len(refusing)

    shown = meshctl(weather, "proxy-status")
    assert shown.returncode == 1
    assert "NACK" in shown.stdout
    assert WORDS in shown.stdout
    waited = meshctl(weather, "wait", "virtualservice/refused", "-n", "weather", "--timeout", "10")
    assert waited.returncode == 4
    assert WORDS in waited.stderr


def test_other_proxies_and_other_rules_are_not_disturbed(weather: Weather) -> None:
    gateway = weather.mesh.pod("istio-system", istio="ingressgateway").id
    with weather.client.load(weather.forecast, rate=50) as load:
        with pytest.raises(NotInForce, match=WORDS):
            weather.mesh.apply(refused_by_envoy())
        types = weather.mesh.pilot.proxies()[gateway]["types"]
        assert {state["status"] for state in types.values()} == {"SYNCED"}
        weather.mesh.apply(split(v2=100))
        weather.client.get(weather.forecast, count=10).check(all_ok(), versions("v2"))
        weather.client.get("http://advertisement:3003/ads").check(all_ok())
    load.responses.check(all_ok())


def test_it_is_over_when_the_rule_is_mended(weather: Weather) -> None:
    with pytest.raises(NotInForce, match=WORDS):
        weather.mesh.apply(refused_by_envoy())
    weather.mesh.apply(
        virtual_service("refused", "advertisement", [{"route": [{"destination": {"host": "advertisement"}}]}])
    )
    shown = meshctl(weather, "proxy-status", "-o", "json")
    assert shown.returncode == 0, shown.stdout
    statuses = {state["status"] for proxy in json.loads(shown.stdout) for state in proxy["types"].values()}
    assert statuses <= {"SYNCED", "NOT_SENT"}


def test_after_a_nack_the_last_good_rule_stays_in_force(weather: Weather) -> None:
    weather.mesh.apply(split(v1=100))
    bad = {"match": [{"uri": {"regex": TOO_LARGE}}], "route": to_forecast(v2=100)}
    with pytest.raises(NotInForce, match=WORDS):
        weather.mesh.apply(virtual_service("forecast", "forecast", [bad, {"route": to_forecast(v2=100)}]))
    weather.client.get(weather.forecast, count=20).check(all_ok(), versions("v1"))
