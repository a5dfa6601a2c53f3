"""O4: reports come in batches; back ends change live; a dead one slows no request, and losses are counted."""

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.mixer import Mixer, handler, rule
from mesh.platform.mixer import TELEMETRY
from pytest_mesh import all_ok, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.pods import Pod

pytestmark = [pytest.mark.behaviour("O4"), pytest.mark.usefixtures("fresh_connections", "steady")]
MATCH = 'context.reporter.kind == "inbound" && destination.labels["app"] == "forecast"'
BOOK = "logbook.backends.svc.cluster.local:24224"
DEAD = "10.255.255.1:24224"
LOST = "mixer_export_lost_total{"


@pytest.fixture
def book(weather: Weather, backends: None) -> Iterator[Pod]:
    """The logbook, empty."""
    pod = weather.mesh.pod("backends", app="logbook")
    pod.request("DELETE", 8086, "/entries")
    yield pod


def parts(weather: Weather, **params: Any) -> list[Obj]:
    """An instance, a handler for fluentd, a rule."""
    (made,) = [item for item in load(weather.rule("mixer/log-entry")) if item["kind"] == "instance"]
    return [
        made,
        handler("forward", "fluentd", **params),
        rule("forward", MATCH, ("forward", "forecast-log")),
    ]


def entries(book: Pod, user: str) -> int:
    return sum(each["record"].get("user") == user for each in book.request("GET", 8086, "/entries"))


def lost(mixer: Mixer) -> float:
    """What the handler of these tests has lost so far; others may still be closing."""
    found = mixer.metrics(TELEMETRY).items()
    return sum(v for name, v in found if name.startswith(LOST) and 'handler="forward.weather"' in name)


def test_reports_are_batched(weather: Weather, mixer: Mixer) -> None:
    """Many records come in one message of an Envoy."""
    pods = [weather.client.pod, weather.pod("forecast"), weather.pod("forecast", "v2")]

    def records() -> float:
        return mixer.counted(TELEMETRY, "mixer_telemetry_records_total")

    def messages() -> float:
        return mixer.counted(TELEMETRY, "mixer_telemetry_messages_total")

    assert all("istio-proxy" in pod.containers for pod in pods)
    before, sent = records(), messages()
    weather.client.get(weather.forecast, count=500, concurrency=8).check(all_ok())
    eventually(lambda: records() >= before + 1000, 20)
    assert messages() - sent < (records() - before) / 5


def test_a_back_end_is_changed_live(weather: Weather, mixer: Mixer, book: Pod) -> None:
    mixer.apply(parts(weather, address=DEAD))
    weather.client.get(weather.forecast, headers={"end-user": "lost"}).check(all_ok())
    mixer.apply(handler("forward", "fluentd", address=BOOK))
    weather.client.get(weather.forecast, headers={"end-user": "found"}, count=3).check(all_ok())
    eventually(lambda: entries(book, "found") == 3, 15)


def test_a_dead_back_end_slows_no_request_and_its_losses_are_counted(
    weather: Weather, mixer: Mixer, book: Pod
) -> None:
    mixer.apply(parts(weather, address=DEAD, instanceBufferSize=16))
    before = lost(mixer)
    responses = weather.client.get(weather.forecast, headers={"end-user": "x"}, count=100, concurrency=4)
    responses.check(all_ok())
    assert responses.percentile(99) < 500
    eventually(lambda: lost(mixer) - before >= 50, 20)
    assert lost(mixer) - before <= 100
