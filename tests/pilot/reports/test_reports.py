"""Who is told of a workload's calls: istio-telemetry by rules, files and services as Telemetry says."""

from pathlib import Path
from typing import Any

import pytest

from mesh.api.meshconfig import MeshConfig
from mesh.install.telemetry import telemetry_rules
from mesh.pilot.types import LDS
from tests.pilot.compile.test_envoy import bootstrap, judged
from tests.pilot.compile.world import WEATHER, World, gateway, plain, sidecar

pytestmark = pytest.mark.behaviour("W7", "O1", "O2")

TELEMETRY = """
- name: istio-telemetry
  namespace: istio-system
  addresses: [10.1.9.1]
  ports: [{number: 15004, name: grpc-telemetry}]
  instances: [{address: 10.0.9.1}]
- name: logs
  namespace: tools
  addresses: [10.1.9.2]
  ports: [{number: 4317, name: grpc}]
  instances: [{address: 10.0.9.2}]
"""
LABELS = {"code": "%RESPONSE_CODE%"}
COLLECTOR = {"service": "logs.tools.svc.cluster.local", "port": 4317, "logName": "all"}
PROVIDERS = [
    {"name": "file", "envoyFileAccessLog": {"path": "/dev/stderr", "logFormat": {"labels": LABELS}}},
    {"name": "collector", "envoyHttpAls": COLLECTOR},
    {"name": "prom", "prometheus": {}},
]
CEL = "envoy.access_loggers.extension_filters.cel"
FILE, STREAM = "envoy.access_loggers.file", "envoy.access_loggers.http_grpc"


def world(*objects: dict[str, Any], rules: bool = True, **mesh: Any) -> World:
    found = World(
        WEATHER + TELEMETRY, mesh=MeshConfig.model_validate({"extensionProviders": PROVIDERS, **mesh})
    )
    for each in [*(telemetry_rules() if rules else ()), *objects]:
        found.store.put(each)
    return found


def telemetry(name: str = "logs", namespace: str = "weather", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": metadata, "spec": spec}


def logging(*providers: str, **more: Any) -> list[dict[str, Any]]:
    return [{"providers": [{"name": each} for each in providers], **more}]


def outbound(world: World) -> dict[str, Any]:
    """The loggers of what the client sends, by name."""
    return loggers(plain(world.all(sidecar(), LDS)["0.0.0.0_3002"]))


def loggers(listener: Any) -> dict[str, Any]:
    handler = listener["filter_chains"][-1]["filters"][-1]["typed_config"]
    return {each["name"]: each for each in handler.get("access_log", ())}


def test_both_sides_report_to_istio_telemetry() -> None:
    made = world()
    common = outbound(made)[STREAM]["typed_config"]["common_config"]
    assert common["log_name"] == "outbound"
    cluster = common["grpc_service"]["envoy_grpc"]["cluster_name"]
    assert cluster == "outbound|15004||istio-telemetry.istio-system.svc.cluster.local"
    text = str(plain(made.all(sidecar("forecast-v1", address="10.0.0.2"), LDS)["virtualInbound"]))
    assert "'log_name': 'inbound'" in text


def test_batches_are_as_large_and_as_old_as_the_mesh_says() -> None:
    common = outbound(world(reportBatchMaxEntries=10, reportBatchMaxTime="3s"))[STREAM]["typed_config"][
        "common_config"
    ]
    assert (common["buffer_size_bytes"], common["buffer_flush_interval"]) == (5120, "3s")


@pytest.mark.parametrize(
    "made",
    [
        world(rules=False),
        world(mixerReportServer=""),
        world(mixerReportServer="elsewhere.weather.svc.cluster.local:1"),
        world(disableMixerHttpReports=True),
        world(telemetry(metrics=[{"overrides": [{"disabled": True}]}])),
        world(telemetry(metrics=[{"overrides": [{"disabled": True, "match": {"mode": "CLIENT"}}]}])),
    ],
)
def test_nobody_is_told_who_does_not_want_to_know(made: World) -> None:
    assert STREAM not in outbound(made)


def test_what_is_disabled_for_one_side_or_metric_leaves_the_rest() -> None:
    server = {"disabled": True, "match": {"mode": "SERVER"}}
    one = {"disabled": True, "match": {"metric": "REQUEST_COUNT"}}
    assert STREAM in outbound(world(telemetry(metrics=[{"overrides": [server, one]}])))


def test_the_mesh_logs_to_its_file_and_a_telemetry_elsewhere() -> None:
    made = world(rules=False, accessLogFile="/dev/stdout")
    assert outbound(made)[FILE]["typed_config"]["path"] == "/dev/stdout"
    made.store.put(telemetry("wide", "istio-system", accessLogging=logging("collector")))
    assert list(outbound(made)) == [STREAM]
    made.store.put(telemetry(accessLogging=logging("file")))
    config = outbound(made)[FILE]["typed_config"]
    assert (config["path"], config["log_format"]["json_format"]) == (
        "/dev/stderr",
        {"code": "%RESPONSE_CODE%"},
    )


def test_a_narrow_telemetry_disables_what_a_wide_one_asks_for() -> None:
    made = world(telemetry("wide", "istio-system", accessLogging=logging("file")), rules=False)
    assert list(outbound(made)) == [FILE]
    made.store.put(telemetry(accessLogging=[{"disabled": True, "match": {"mode": "CLIENT"}}]))
    assert not outbound(made)
    inbound = str(plain(made.all(sidecar("forecast-v1", address="10.0.0.2"), LDS)["virtualInbound"]))
    assert FILE in inbound


def test_envoy_takes_all_of_it(tmp_path: Path) -> None:
    condition = {"expression": "response.code >= 400 || request.headers['x-debug'] == 'yes'"}
    made = world(
        telemetry(
            "wide", "istio-system", accessLogging=logging("envoy", "file", "collector", filter=condition)
        )
    )
    assert CEL in str(outbound(made))
    for proxy in (sidecar(), sidecar("forecast-v1", address="10.0.0.2"), gateway()):
        assert judged(bootstrap(made.everything(proxy).values()), tmp_path / "envoy.json") == ""
