"""What several chapters of the tests need: rules and workloads as text, and a few questions in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import weather as demo
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj, load
from pytest_mesh.mesh import Mesh
from pytest_mesh.pods import Pod

FORECAST = "forecast.weather.svc.cluster.local"
OUTBOUND = f"outbound|3002||{FORECAST}"
INBOUND = "inbound|3002||"


def virtual_service(name: str, host: str, http: list[Obj], **spec: Any) -> Obj:
    """A VirtualService in namespace weather."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "weather"},
        "spec": {"hosts": [host], "http": http, **spec},
    }


def to_forecast(**weights: int) -> list[Obj]:
    """Destinations: the subsets of forecast with their weights."""
    return [
        {"destination": {"host": "forecast", "subset": subset}, "weight": weight}
        for subset, weight in weights.items()
    ]


def split(**weights: int) -> Obj:
    """The rule that divides requests to forecast among its versions."""
    return virtual_service("forecast", "forecast", [{"route": to_forecast(**weights)}])


def destination_rule(**policy: Any) -> Obj:
    """The demo's rule on forecast (its subsets) with a traffic policy."""
    (rule,) = load(demo.RULES / "versions.yaml")
    rule["spec"] = {**rule["spec"], "trafficPolicy": policy}
    return rule


def another_client(name: str, **annotations: str) -> list[Obj]:
    """The manifests of a second client Pod, which a test may damage."""
    account, _, deployment = load(demo.MANIFESTS / "client.yaml")
    labels = {"app": name, "version": "v1"}
    deployment["metadata"]["name"] = name
    deployment["spec"]["selector"] = {"matchLabels": labels}
    template = deployment["spec"]["template"]
    template["metadata"]["labels"] = labels
    template["metadata"]["annotations"].update(annotations)
    return [account, deployment]


def inbound_requests(pod: Pod) -> int:
    """How many requests a Pod's Envoy has handed to forecast."""
    return pod.proxy.stat(f"cluster.{INBOUND}.upstream_rq_total")


@contextmanager
def mood(pod: Pod, port: int, **wish: float) -> Iterator[None]:
    """A service behaves differently for the length of a block: `healthy`, `delay`, `error_rate`."""
    before = {"healthy": 1.0, "delay": 0.0, "error_rate": 0.0}
    pod.request("POST", port, "/mood", wish)
    try:
        yield
    finally:
        pod.request("POST", port, "/mood", {name: before[name] for name in wish})


def slice_addresses(mesh: Mesh, service: str = "forecast") -> set[str]:
    """The addresses of a Service's ready endpoints, by its EndpointSlices."""
    labels = f"kubernetes.io/service-name={service}"
    slices = mesh.api.items("EndpointSlice", "weather", api="discovery.k8s.io/v1", labels=labels)
    return {
        f"{address}:{port['port']}"
        for each in slices
        for endpoint in each.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
        for port in each["ports"]
    }


def healthy_endpoints(weather: Weather, cluster: str = OUTBOUND) -> set[str]:
    """The endpoints that the client's Envoy would use."""
    endpoints = weather.client.pod.proxy.endpoints(cluster)
    return {address for address, health in endpoints.items() if health == "HEALTHY"}


def with_proxy(mesh: Mesh) -> set[str]:
    """The ready Pods that have a proxy, as Pilot names them; those on their way out do not count."""
    return {pod.id for pod in mesh.pods() if pod.ready and "istio-proxy" in pod.containers}


def nonces(mesh: Mesh) -> dict[str, dict[str, set[str]]]:
    """The nonces of what each proxy was sent, by type."""
    found: dict[str, dict[str, set[str]]] = {}
    for proxy, messages in mesh.pilot.deliveries().items():
        types = found.setdefault(proxy, {})
        for message in messages:
            types.setdefault(message["type"], set()).add(message["nonce"])
    return found


def sent_since(mesh: Mesh, before: dict[str, dict[str, set[str]]]) -> dict[str, list[Obj]]:
    """What each proxy was sent since `nonces` was asked; without those that were sent nothing."""
    fresh = {
        proxy: [m for m in messages if m["nonce"] not in before.get(proxy, {}).get(m["type"], set())]
        for proxy, messages in mesh.pilot.deliveries().items()
    }
    return {proxy: messages for proxy, messages in fresh.items() if messages}
