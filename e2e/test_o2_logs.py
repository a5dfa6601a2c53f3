"""O2: logentry instances to stdio, to a file and forwarded; Envoy's own access log as text and as JSON."""

import json

import pytest

from e2e.helpers import mood
from e2e.mixer import CONTAINER, Mixer, handler, rule
from e2e.security import mesh_settings
from mesh.platform.mixer import TELEMETRY
from pytest_mesh import all_ok, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load

pytestmark = [pytest.mark.behaviour("O2"), pytest.mark.usefixtures("fresh_connections", "steady")]
MATCH = 'context.reporter.kind == "inbound" && destination.labels["app"] == "forecast"'
PATH = "/weather?city=Oslo"
URL = f"http://forecast:3002{PATH}"


def entry(weather: Weather) -> Obj:
    """The demo's logentry instance."""
    (found,) = [item for item in load(weather.rule("mixer/log-entry")) if item["kind"] == "instance"]
    return found


def test_entries_on_stdio(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(weather.rule("mixer/log-entry"), weather.rule("all-v1"))
    weather.client.get(URL, headers={"end-user": "ann"}, count=3).check(all_ok())
    with mood(weather.pod("forecast"), 3002, error_rate=1.0):
        weather.client.get(URL, headers={"end-user": "bob"})

    def entries() -> list[Obj]:
        return [each for each in mixer.logged("forecast-log") if each["path"] == PATH]

    eventually(lambda: len(entries()) == 4, 15)
    found = sorted((e["user"], int(e["code"]), str(e["level"]).lower()) for e in entries())
    assert found == [("ann", 200, "info")] * 3 + [("bob", 500, "error")]
    first = entries()[0]
    assert (first["source"], first["destination"]) == ("client", "forecast-v1")
    assert int(first["bytes"]) > 100


def test_entries_as_text_in_a_file_and_forwarded(weather: Weather, mixer: Mixer, backends: None) -> None:
    book = weather.mesh.pod("backends", app="logbook")
    book.request("DELETE", 8086, "/entries")
    path = "/tmp/forecast.log"
    to_file: Obj = {"logStream": "ROTATED_FILE", "outputPath": path, "outputAsJson": False}
    address = "logbook.backends.svc.cluster.local:24224"
    mixer.apply(
        [
            entry(weather),
            handler("to-file", "stdio", **to_file),
            handler("to-book", "fluentd", address=address),
            rule("to-both", MATCH, ("to-file", "forecast-log"), ("to-book", "forecast-log")),
        ]
    )
    weather.client.get(URL, headers={"end-user": "carl"}, count=5).check(all_ok())

    def in_file() -> bool:
        text = weather.mesh.api.exec(
            "istio-system", mixer.pod(TELEMETRY).name, CONTAINER, ["sh", "-c", f"cat {path} || true"]
        )[0]
        return sum("carl" in line for line in text.splitlines()) == 5

    def forwarded() -> bool:
        entries = book.request("GET", 8086, "/entries")
        return [each["record"].get("user") for each in entries].count("carl") == 5

    eventually(in_file, 15)
    eventually(forwarded, 15)
    (one, *_) = [e for e in book.request("GET", 8086, "/entries") if e["record"].get("user") == "carl"]
    assert "forecast-log" in one["tag"]
    assert str(one["record"]["code"]) == "200"


def test_the_proxys_own_log_as_json_with_a_filter(weather: Weather) -> None:
    """Telemetry: only what failed is logged; the mesh's encoding is JSON."""
    only_failures: Obj = {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": "failures", "namespace": "weather"},
        "spec": {
            "selector": {"matchLabels": {"app": "forecast"}},
            "accessLogging": [
                {"providers": [{"name": "envoy"}], "filter": {"expression": "response.code >= 400"}}
            ],
        },
    }
    pod = weather.pod("forecast")
    with mesh_settings(weather.mesh, accessLogEncoding="JSON"):
        weather.mesh.apply(only_failures)
        weather.mesh.apply(weather.rule("all-v1"))

        def logged() -> bool:
            weather.client.get("http://forecast:3002/json-lost")
            lines = [line for line in pod.logs("istio-proxy").splitlines() if "/json-lost" in line]
            return bool(lines) and lines[-1].startswith("{")

        eventually(logged, 120)  # a kubelet takes its time to show settings to Pilot
        weather.client.get("http://forecast:3002/weather?city=unlogged", count=5).check(all_ok())
        weather.client.get("http://forecast:3002/json-last")
        eventually(lambda: "/json-last" in pod.logs("istio-proxy"), 15)
        lines = pod.logs("istio-proxy").splitlines()
        assert not [line for line in lines if "city=unlogged" in line]
        told = json.loads(next(line for line in lines if "/json-last" in line))
        assert str(told["response_code"]) == "404"
        assert told["method"] == "GET"
