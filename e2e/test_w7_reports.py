"""W7: both sides report each call, and it goes on to the back ends that rules name."""

import csv

import pytest

from e2e.conftest import Command
from e2e.helpers import mood
from e2e.mixer import Mixer, Prometheus, grown
from pytest_mesh import all_ok, eventually
from pytest_mesh.demo import Weather

pytestmark = [pytest.mark.behaviour("W7"), pytest.mark.usefixtures("fresh_connections", "steady")]
REQUESTS = 20


def test_both_sides_report_each_call_once(weather: Weather, prometheus: Prometheus) -> None:
    def read() -> dict[str, float]:
        found = prometheus.ask(
            'sum by (reporter) (istio_requests_total{source_workload="client",destination_app="forecast"})'
        )
        return {each["metric"]["reporter"]: float(each["value"][1]) for each in found}

    with grown(prometheus, read, {"source": REQUESTS, "destination": REQUESTS}):
        weather.client.get(weather.forecast, count=REQUESTS).check(all_ok())
    after = read()
    prometheus.quiet()
    assert read() == after


def test_a_call_through_the_mesh_is_reported_hop_by_hop(weather: Weather, prometheus: Prometheus) -> None:
    """Gateway to frontend to forecast and advertisement: who called whom, as both Envoys saw it."""
    hops = {
        "frontend": "istio-ingressgateway",
        "forecast": "frontend-v1",
        "advertisement": "frontend-v1",
    }

    def read() -> dict[str, float]:
        found = prometheus.ask(
            "sum by (reporter, source_workload, destination_service_name) (istio_requests_total)"
        )
        named = [(each["metric"], float(each["value"][1])) for each in found]
        return {
            f"{m.get('reporter')} {m.get('source_workload')} {m.get('destination_service_name')}": value
            for m, value in named
        }

    wanted = {f"{side} {who} {to}": 5.0 for side in ("source", "destination") for to, who in hops.items()}
    with grown(prometheus, read, wanted):
        weather.outside.get("/api/weather", count=5).check(all_ok())


@pytest.mark.behaviour("P2")
def test_usage_is_billed_by_consumer(
    weather: Weather, mixer: Mixer, prometheus: Prometheus, meshctl: Command
) -> None:
    mixer.apply(weather.rule("mixer/billing"))

    def billed() -> dict[str, tuple[int, int]]:
        return {row["consumer"]: (int(row["requests"]), int(row["bytes"])) for row in mixer.usage()}

    def requests() -> dict[str, float]:
        return {who: number for who, (number, _) in billed().items()}

    before = billed().get("client", (0, 0))[1]
    with grown(prometheus, requests, {"client": REQUESTS, "frontend": 3}):
        responses = weather.client.get(weather.forecast, count=REQUESTS).check(all_ok())
        weather.outside.get("/api/weather", count=3).check(all_ok())
    body = sum(len(response.body.encode()) for response in responses)
    assert body < billed()["client"][1] - before < body + 2000 * REQUESTS
    assert list(csv.DictReader(meshctl("mixer", "usage").stdout.splitlines())) == mixer.usage()


def test_a_metric_of_ones_own(weather: Weather, mixer: Mixer, prometheus: Prometheus) -> None:
    mixer.apply(weather.rule("mixer/metric"))
    weather.mesh.apply(weather.rule("all-v1"))
    weather.client.get(weather.forecast, headers={"end-user": "ann"}, count=7).check(all_ok())
    with mood(weather.pod("forecast"), 3002, error_rate=1.0):
        weather.client.get(weather.forecast, headers={"end-user": "bob"}, count=2)
    query = 'sum by (user, version, code) (istio_weather_requests{user!="nobody"})'  # moods are requests too
    wanted = {("ann", "v1", "200"): 7.0, ("bob", "v1", "500"): 2.0}

    def read() -> bool:
        found = prometheus.ask(query)
        names = ("user", "version", "code")
        now = {tuple(e["metric"].get(n) for n in names): float(e["value"][1]) for e in found}
        assert now == wanted, str(now)
        return True

    eventually(read, 15)


def test_connections_are_reported(weather: Weather, prometheus: Prometheus, echo: object) -> None:
    def read() -> dict[str, float]:
        names = ("opened_total", "closed_total")
        where = '{source_workload="client",destination_app="echo",reporter="destination"}'
        values = {n: prometheus.value(f"sum(istio_tcp_connections_{n}{where})") for n in names}
        for name in ("sent", "received"):
            values[name] = prometheus.value(f"sum(istio_tcp_{name}_bytes_total{where})")
        return values

    lines = len("hello\n") * 3
    with grown(prometheus, read, {"opened_total": 3, "closed_total": 3, "received": lines}):
        weather.client.send("tcp://echo.weather:90", count=3, keep_alive=False).check(all_ok())
