"""I2: the kubelet's probes work under STRICT mutual TLS, because the agent asks the application for it."""

from typing import Any

import pytest

from e2e.security import peers
from pytest_mesh import NotReady, all_ok
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.pods import Pod

pytestmark = pytest.mark.behaviour("I2")
HEALTHZ = {"httpGet": {"path": "/healthz", "port": 8080}}


def deployment(name: str, readiness: Obj, **annotations: str) -> Obj:
    """An echo server with a probe."""
    labels = {"app": name, "version": "v1"}
    container: Obj = {
        "name": "echo",
        "image": "meshwright/weather:0.1.0",
        "args": ["echo"],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "tcp", "containerPort": 9000}],
        "readinessProbe": {"periodSeconds": 1, **readiness},
    }
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "weather"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


@pytest.fixture(autouse=True)
def strict(weather: Weather) -> None:
    weather.mesh.apply(peers("STRICT", "istio-system"))


@pytest.mark.parametrize(
    "probe",
    [
        HEALTHZ,
        {"httpGet": {"path": "/healthz", "port": "http"}},
        {"tcpSocket": {"port": 9000}},
        {"tcpSocket": {"port": "tcp"}},
        {"exec": {"command": ["true"]}},
    ],
    ids=["http", "http by name", "tcp", "tcp by name", "exec"],
)
def test_a_pod_becomes_ready_under_strict(weather: Weather, probe: Obj) -> None:
    weather.mesh.apply(deployment("probed", probe), timeout=20)
    pod = weather.mesh.pod("weather", app="probed")
    (container,) = [each for each in pod.item["spec"]["containers"] if each["name"] == "echo"]
    if "exec" not in probe:
        assert container["readinessProbe"]["httpGet"]["port"] == 15020
        assert container["readinessProbe"]["httpGet"]["path"] == "/app-health/echo/readyz"


def test_an_application_that_is_ill_is_not_ready(weather: Weather) -> None:
    with pytest.raises(NotReady):
        weather.mesh.apply(deployment("ill", {"httpGet": {"path": "/?status=503", "port": 8080}}), timeout=5)


def test_without_the_rewriting_strict_fails_them(weather: Weather) -> None:
    item = deployment("untouched", HEALTHZ, **{"sidecar.istio.io/rewriteAppHTTPProbers": "false"})
    with pytest.raises(NotReady):
        weather.mesh.apply(item, timeout=5)
    weather.mesh.apply(peers("PERMISSIVE", "istio-system"))
    weather.mesh.wait_for([item])


def test_the_demo_stays_ready(weather: Weather) -> None:
    pods: list[Pod] = [pod.refresh() for pod in weather.mesh.pods("weather")]
    assert all(pod.ready for pod in pods)
    weather.outside.get("/api/weather").check(all_ok())


def test_nobody_but_the_kubelet_is_told_more_than_a_status(weather: Weather, plain: Any) -> None:
    pod = weather.pod("forecast", "v1")
    (answer,) = plain.get(f"http://{pod.address}:15020/app-health/forecast/readyz").check(all_ok())
    assert "x-weather-pod" not in answer.headers
    (unknown,) = plain.get(f"http://{pod.address}:15020/app-health/nobody/readyz")
    assert unknown.status == 404
