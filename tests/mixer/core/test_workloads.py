"""Who takes part in a call, as attributes, from a registry that changes."""

from collections.abc import Mapping

import pytest

from mesh.mixer.attributes.workload import Workloads, source_of, uid
from mesh.model import Instance, Labels, Port, Service, Workload
from mesh.model.sources import Changes
from mesh.registry.table import Table

pytestmark = pytest.mark.behaviour("P1")

FORECAST = Workload(
    "forecast-v1-abcde-12345",
    "weather",
    ("10.0.0.7", "10.0.0.8"),
    Labels({"app": "forecast", "version": "v1"}),
    "forecast",
    "Deployment",
    "forecast-v1",
)
HOST = "forecast.weather.svc.cluster.local"
SERVICE = Service(HOST, "forecast", "weather", (Port(3002, "http"),), ("10.1.0.1",))


class Known(Table):
    """A registry's table, as registries hand it out."""


def known(*workloads: Workload) -> tuple[Known, Workloads]:
    table = Known()
    found = Workloads(table)  # type: ignore[arg-type]  # a table is the reading half of a registry
    for each in workloads:
        put(table, dict.fromkeys(each.addresses, each))
    return table, found


def put(table: Known, workloads: Mapping[str, Workload | None]) -> None:
    changes = Changes()
    for address, workload in workloads.items():
        changes = changes | table.put_workload(address, workload)
    table.tell(changes)


def serve(table: Known, port: int, *workloads: Workload) -> None:
    instances = tuple(Instance(HOST, 3002, each.address, port, each) for each in workloads)
    table.tell(table.put_service(HOST, SERVICE) | table.put_instances(HOST, {3002: instances}))


def test_a_workload_is_described_by_the_classic_vocabulary() -> None:
    _, found = known(FORECAST)
    assert found.destination(FORECAST) == {
        "destination.uid": "kubernetes://forecast-v1-abcde-12345.weather",
        "destination.name": "forecast-v1-abcde-12345",
        "destination.namespace": "weather",
        "destination.ip": bytes([10, 0, 0, 7]),
        "destination.labels": {"app": "forecast", "version": "v1"},
        "destination.owner": "kubernetes://apis/apps/v1/namespaces/weather/deployments/forecast-v1",
        "destination.workload.uid": "istio://weather/workloads/forecast-v1",
        "destination.workload.name": "forecast-v1",
        "destination.workload.namespace": "weather",
    }
    assert found.source(FORECAST)["source.workload.name"] == "forecast-v1"


def test_it_is_found_by_each_address_and_by_its_uid() -> None:
    _, found = known(FORECAST)
    assert found.at("10.0.0.7") is found.at("10.0.0.8") is found.named(uid(FORECAST)) is FORECAST
    assert found.at("10.0.0.9") is None


def test_attributes_are_made_once_for_a_version() -> None:
    table, found = known(FORECAST)
    first = found.source(FORECAST)
    assert found.source(FORECAST) is first
    relabelled = Workload("forecast-v1-abcde-12345", "weather", ("10.0.0.7",), Labels({"app": "other"}))
    put(table, {"10.0.0.7": relabelled})
    assert found.source(relabelled)["source.labels"] == {"app": "other"}


def test_what_has_gone_is_forgotten() -> None:
    table, found = known(FORECAST)
    put(table, {"10.0.0.8": None})
    assert found.named(uid(FORECAST)) is FORECAST, "it still has its first address"
    put(table, {"10.0.0.7": None})
    assert found.named(uid(FORECAST)) is None
    assert found.at("10.0.0.7") is None


def test_services_are_found_by_the_port_of_their_instances() -> None:
    table, found = known(FORECAST)
    serve(table, 9002, FORECAST)
    assert found.services_at("10.0.0.7", 9002) == (HOST,)
    assert found.services_at("10.0.0.7", 3002) == ()
    assert found.service(HOST) == {
        "destination.service.host": HOST,
        "destination.service.name": "forecast",
        "destination.service.namespace": "weather",
        "destination.service.uid": "istio://weather/services/forecast",
    }
    serve(table, 9003)
    assert found.services_at("10.0.0.7", 9002) == ()


def test_of_an_unknown_service_only_the_host_is_known() -> None:
    _, found = known()
    assert found.service("example.com") == {"destination.service.host": "example.com"}


def test_a_peer_proves_principal_and_namespace() -> None:
    _, found = known(FORECAST)
    proved = source_of(found, "10.0.0.7", "spiffe://cluster.local/ns/weather/sa/forecast")
    assert proved["source.principal"] == "cluster.local/ns/weather/sa/forecast"
    assert proved["source.name"] == "forecast-v1-abcde-12345"


def test_an_address_that_contradicts_the_certificate_is_not_believed() -> None:
    _, found = known(FORECAST)
    proved = source_of(found, "10.0.0.7", "spiffe://cluster.local/ns/other/sa/thief")
    assert proved["source.namespace"] == "other"
    assert "source.name" not in proved
    assert "source.labels" not in proved


def test_a_stranger_has_an_address_and_nothing_else() -> None:
    _, found = known(FORECAST)
    assert source_of(found, "192.0.2.1", "") == {"source.ip": bytes([192, 0, 2, 1])}
    assert source_of(found, "pipe", "") == {}
