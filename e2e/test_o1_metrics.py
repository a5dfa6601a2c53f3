"""O1: Istio's standard metrics in a real Prometheus, by queries that must give the right numbers."""

import pytest

from e2e.helpers import mood
from e2e.mixer import SYSTEM, Mixer, Prometheus, grown
from mesh.platform.mixer import TELEMETRY
from pytest_mesh import all_ok, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = [pytest.mark.behaviour("O1"), pytest.mark.usefixtures("steady")]
FORECAST = 'reporter="destination",source_app="client",destination_app="forecast"'
LABELS = {
    "reporter": "destination",
    "source_workload": "client",
    "source_workload_namespace": "weather",
    "source_principal": "spiffe://cluster.local/ns/weather/sa/client",
    "source_app": "client",
    "source_version": "v1",
    "source_canonical_service": "client",
    "source_canonical_revision": "v1",
    "destination_workload": "forecast-v1",
    "destination_workload_namespace": "weather",
    "destination_principal": "spiffe://cluster.local/ns/weather/sa/forecast",
    "destination_app": "forecast",
    "destination_version": "v1",
    "destination_service": "forecast.weather.svc.cluster.local",
    "destination_service_name": "forecast",
    "destination_service_namespace": "weather",
    "destination_canonical_service": "forecast",
    "destination_canonical_revision": "v1",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
    "connection_security_policy": "mutual_tls",
}


def test_the_standard_labels(weather: Weather, prometheus: Prometheus) -> None:
    weather.mesh.apply(weather.rule("all-v1"))
    weather.client.get(weather.forecast).check(all_ok())
    query = f'istio_requests_total{{{FORECAST},destination_version="v1",response_code="200"}}'
    (sample,) = eventually(lambda: prometheus.ask(query), 15)
    assert {name: sample["metric"].get(name) for name in LABELS} == LABELS


def test_requests_their_times_and_sizes(weather: Weather, prometheus: Prometheus) -> None:
    names = {
        "requests": "istio_requests_total",
        "ms": "istio_request_duration_milliseconds_count",
        "seconds": "istio_request_duration_seconds_count",
        "in": "istio_request_bytes_count",
        "out": "istio_response_bytes_count",
    }

    def read() -> dict[str, float]:
        return {key: prometheus.value(f"sum({name}{{{FORECAST}}})") for key, name in names.items()}

    def sums() -> dict[str, float]:
        wanted = {"ms": "request_duration_milliseconds", "out": "response_bytes", "in": "request_bytes"}
        return {k: prometheus.value(f"sum(istio_{n}_sum{{{FORECAST}}})") for k, n in wanted.items()}

    prometheus.quiet()
    before = sums()
    with (
        mood(weather.pod("forecast"), 3002, delay=0.05),
        mood(weather.pod("forecast", "v2"), 3002, delay=0.05),
        grown(prometheus, read, dict.fromkeys(names, 20.0)),
    ):
        responses = weather.client.call(weather.forecast, method="POST", body="x" * 1000, count=20)
        responses.check(all_ok())
    after = sums()
    spent, seen = after["ms"] - before["ms"], sum(response.ms for response in responses)
    assert 20 * 50 <= spent <= seen
    answered = sum(len(response.body.encode()) for response in responses)
    assert answered <= after["out"] - before["out"] <= answered + 20 * 1500
    assert 20 * 1000 <= after["in"] - before["in"] <= 20 * 3000


def test_the_quantiles_of_buckets(weather: Weather, prometheus: Prometheus) -> None:
    """Requests that take 300 ms lie between the buckets of 250 and 500 ms."""
    weather.mesh.apply(weather.rule("all-v1"))
    below = f'istio_request_duration_milliseconds_bucket{{{FORECAST},destination_version="v1"'

    def read() -> dict[str, float]:
        return {le: prometheus.value(f'sum({below},le="{le}"}})') for le in ("250", "500")}

    with mood(weather.pod("forecast"), 3002, delay=0.3), grown(prometheus, read, {"250": 0, "500": 4}):
        weather.client.get(weather.forecast, count=4, concurrency=4).check(all_ok())


def test_failures_are_counted_by_code(weather: Weather, prometheus: Prometheus) -> None:
    def read() -> dict[str, float]:
        return prometheus.series(
            "istio_requests_total", reporter="source", source_app="client", destination_app="forecast"
        )

    weather.mesh.apply(weather.rule("all-v1"))
    with grown(prometheus, read, {"200": 5, "500": 7, "404": 2}):
        weather.client.get(weather.forecast, count=5)
        weather.client.get("http://forecast:3002/nowhere", count=2)
        with mood(weather.pod("forecast"), 3002, error_rate=1.0):
            weather.client.get(weather.forecast, count=7)


def telemetry(name: str, app: str, **override: object) -> Obj:
    """A Telemetry that changes metrics of one app's server side."""
    return {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": name, "namespace": "weather"},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "metrics": [{"providers": [{"name": "prometheus"}], "overrides": [override]}],
        },
    }


def test_telemetry_changes_and_stops_metrics(weather: Weather, mixer: Mixer, prometheus: Prometheus) -> None:
    ads = "http://advertisement:3003/ads"
    where = 'reporter="destination",source_app="client",destination_app="advertisement"'

    def requests(more: str = "") -> float:
        return prometheus.value(f"sum(istio_requests_total{{{where}{more}}})")

    match = {"metric": "REQUEST_COUNT", "mode": "SERVER"}
    tags = {"request_host": {"value": "'of the test'"}, "source_version": {"operation": "REMOVE"}}
    with weather.mesh.undoing():
        mixer.apply(telemetry("ads", "advertisement", match=match, tagOverrides=tags))

        def changed() -> bool:
            weather.client.get(ads).check(all_ok())
            return requests(',request_host="of the test",source_version=""') > 0

        eventually(changed, 15)
    mixer.apply(telemetry("ads", "advertisement", match=match, disabled=True))
    prometheus.quiet()
    before = requests()
    sides = 'reporter="source",source_app="client",destination_app="advertisement"'

    def read() -> dict[str, float]:
        return {"source": prometheus.value(f"sum(istio_requests_total{{{sides}}})")}

    with grown(prometheus, read, {"source": 4}):
        weather.client.get(ads, count=4).check(all_ok())
    prometheus.quiet()
    assert requests() == before


def test_a_pod_of_the_mesh_may_scrape_the_service(weather: Weather) -> None:
    """The Service's Pods take mutual TLS for reports; what they count is in clear text."""
    counted = weather.client.get(f"http://istio-telemetry.{SYSTEM}:42422/metrics").check(all_ok())
    assert "istio_requests_total" in counted[0].body


def test_the_programs_tell_of_themselves(mixer: Mixer) -> None:
    metrics = mixer.metrics(TELEMETRY)
    assert any(name.startswith("mixer_") for name in metrics), sorted(metrics)[:20]
    assert mixer.pod(TELEMETRY).namespace == SYSTEM
