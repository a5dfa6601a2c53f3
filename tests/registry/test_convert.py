"""M1, M2, M3: what Kubernetes' objects mean in the model."""

from typing import Any

import pytest

from mesh.model import Labels, Locality, Protocol, Resolution
from mesh.registry.kubernetes import convert


def a_service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 3002, "targetPort": 8080}]
    return {
        "kind": "Service",
        "metadata": {"name": "forecast", "namespace": "weather", "labels": {"app": "forecast"}},
        "spec": {"clusterIP": "198.19.0.7", "clusterIPs": ["198.19.0.7"], "ports": ports, **spec},
    }


def a_pod(**changes: Any) -> dict[str, Any]:
    labels = {"app": "forecast", "version": "v1", "pod-template-hash": "abc12"}
    owner = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "forecast-v1-abc12", "controller": True}
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "weather", "labels": labels, "ownerReferences": [owner]},
        "spec": {"serviceAccountName": "forecast", "nodeName": "n1", "containers": [{"name": "istio-proxy"}]},
        "status": {"podIP": "198.18.0.9", "podIPs": [{"ip": "198.18.0.9"}], "phase": "Running"},
        **changes,
    }


NODE = {
    "metadata": {
        "name": "n1",
        "labels": {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"},
    }
}


def a_slice(*endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": "s", "namespace": "weather", "labels": {convert.SERVICE_NAME: "forecast"}},
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": list(endpoints),
    }


@pytest.mark.behaviour("M1")
def test_a_service_has_a_host_name_and_typed_ports() -> None:
    service = convert.service(a_service())
    assert service is not None
    assert service.hostname == "forecast.weather.svc.cluster.local"
    assert (service.addresses, service.resolution) == (("198.19.0.7",), Resolution.EDS)
    assert [(p.number, p.name, p.protocol) for p in service.ports] == [(3002, "http", Protocol.HTTP)]


@pytest.mark.behaviour("M1")
def test_a_headless_service_has_no_address_and_is_passed_through() -> None:
    service = convert.service(a_service(clusterIP="None", clusterIPs=["None"]))
    assert service is not None
    assert service.headless and service.resolution is Resolution.PASSTHROUGH


@pytest.mark.behaviour("M1")
def test_an_external_name_is_no_service_of_its_own() -> None:
    assert convert.service(a_service(type="ExternalName", externalName="example.com")) is None


@pytest.mark.behaviour("M3")
def test_a_pod_becomes_a_workload_with_owner_locality_and_account() -> None:
    workload = convert.workload(a_pod(), NODE)
    assert workload is not None
    assert (workload.owner_kind, workload.owner_name) == ("Deployment", "forecast-v1")
    assert (workload.locality, workload.service_account) == (Locality("r", "z"), "forecast")
    assert workload.has_sidecar


@pytest.mark.behaviour("M3")
def test_a_pods_own_label_outranks_its_nodes_place() -> None:
    assert convert.locality(NODE, {"istio-locality": "a.b.c"}) == Locality("a", "b", "c")


@pytest.mark.behaviour("M3")
@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"phase": "Pending"}},
        {"status": {"podIP": "198.18.0.9", "phase": "Succeeded"}},
        {"spec": {"hostNetwork": True, "containers": []}},
    ],
)
def test_a_pod_without_an_address_of_its_own_is_no_workload(changes: dict[str, Any]) -> None:
    assert convert.workload(a_pod(**changes), NODE) is None


@pytest.mark.behaviour("M2", "M3")
def test_an_instance_knows_its_service_labels_place_and_health() -> None:
    service, workload = convert.service(a_service()), convert.workload(a_pod(), NODE)
    assert service is not None and workload is not None
    ready, not_ready = (
        {"addresses": ["198.18.0.9"]},
        {"addresses": ["198.18.0.8"], "conditions": {"ready": False}},
    )
    found = convert.instances(service, [a_slice(ready, not_ready)], {"198.18.0.9": workload})[3002]
    assert [(i.address, i.port, i.healthy) for i in found] == [
        ("198.18.0.8", 8080, False),
        ("198.18.0.9", 8080, True),
    ]
    assert found[1].labels == Labels(workload.labels)
    assert (found[1].locality, found[1].service_account) == (Locality("r", "z"), "forecast")
