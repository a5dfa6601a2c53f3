"""W1: the API server calls the injector, and Pods of a labelled namespace come up with a sidecar."""

from typing import Any

import pytest

import weather as demo
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.mesh import Mesh

pytestmark = pytest.mark.behaviour("W1")
APPS = ("frontend", "advertisement", "forecast", "recommendation", "client")


def bare_pod(name: str, namespace: str = "weather", **spec: Any) -> Obj:
    metadata: Obj = {"name": name, "namespace": namespace, "labels": spec.pop("labels", {})}
    metadata["annotations"] = spec.pop("annotations", {})
    container = {"name": "app", "image": "meshwright/weather:0.1.0", "args": ["advertisement"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def containers_of(mesh: Mesh, pod: Obj) -> list[str]:
    """The containers that a Pod has once the API server has taken it."""
    (created,) = mesh.apply(pod, wait=False)
    return [
        each["name"] for each in (*created["spec"].get("initContainers", ()), *created["spec"]["containers"])
    ]


@pytest.mark.parametrize("app", APPS)
def test_every_pod_of_the_demo_has_both_containers_and_is_ready(weather: Weather, app: str) -> None:
    pods = weather.mesh.pods("weather", app=app)
    assert pods
    for pod in pods:
        assert sorted(pod.containers) == sorted(["istio-init", "istio-proxy", app])
        assert pod.item["spec"]["initContainers"][0]["name"] == "istio-init"
        assert pod.ready
        assert "sidecar.istio.io/status" in pod.item["metadata"]["annotations"]


def test_the_owners_manifest_is_untouched(weather: Weather) -> None:
    for item in load(demo.MANIFESTS):
        if item["kind"] == "Deployment":
            found = weather.mesh.api.find(item)
            assert found is not None
            (container,) = found["spec"]["template"]["spec"]["containers"]
            assert container["name"] == item["metadata"]["labels"]["app"]
            assert "initContainers" not in found["spec"]["template"]["spec"]


def test_a_namespace_without_the_label_gets_no_sidecar(weather: Weather) -> None:
    mesh = weather.mesh
    mesh.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "plain"}}, wait=False)
    assert containers_of(mesh, bare_pod("p", "plain")) == ["app"]


def test_a_pod_may_decline_by_label_or_annotation_and_the_label_decides(weather: Weather) -> None:
    mesh, key = weather.mesh, "sidecar.istio.io/inject"
    assert containers_of(mesh, bare_pod("a", labels={key: "false"})) == ["app"]
    assert containers_of(mesh, bare_pod("b", annotations={key: "false"})) == ["app"]
    both = bare_pod("c", labels={key: "true"}, annotations={key: "false"})
    assert "istio-proxy" in containers_of(mesh, both)


def test_a_pod_on_the_hosts_network_is_left_alone(weather: Weather) -> None:
    assert containers_of(weather.mesh, bare_pod("h", hostNetwork=True)) == ["app"]


def test_a_bare_pod_is_injected_like_one_of_a_deployment(weather: Weather) -> None:
    assert sorted(containers_of(weather.mesh, bare_pod("bare"))) == ["app", "istio-init", "istio-proxy"]
