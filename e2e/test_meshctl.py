"""`meshctl` against the live mesh: what it shows, waits for and changes; JSON for programs; exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import weather as demo
from e2e.conftest import Command, Run
from e2e.helpers import FORECAST, split
from mesh.cli.errors import CommandError
from pytest_mesh import all_ok, versions
from pytest_mesh.demo import Weather


@pytest.mark.behaviour("H2")
def test_status_shows_components_and_pods_in_sync(
    weather: Weather, meshctl: Command, pytestconfig: pytest.Config
) -> None:
    shown = json.loads(meshctl("status", "-o", "json").stdout)
    names = {component["name"] for component in shown["components"]}
    classic = pytestconfig.getoption("--mesh-profile") == "classic"
    parts = {"istio-citadel", "istio-galley", "istio-sidecar-injector"} if classic else set()
    always = {"istio-pilot", "istio-policy", "istio-telemetry", "istio-ingressgateway", "istio-egressgateway"}
    assert names == always | parts
    pods = {pod["name"]: pod["proxy"] for pod in shown["pods"]}
    assert pods[weather.client.pod.name] == "SYNCED"


@pytest.mark.behaviour("X2")
def test_proxy_status_lists_every_proxy(weather: Weather, meshctl: Command) -> None:
    weather.mesh.settle()
    result = meshctl("proxy-status")
    assert result.returncode == 0
    for pod in weather.mesh.pods("weather"):
        assert pod.id in result.stdout
    one = meshctl("proxy-status", weather.client.pod.id, "-o", "json")
    assert [entry["proxy"] for entry in json.loads(one.stdout)] == [weather.client.pod.id]
    assert meshctl("proxy-status", "nobody").returncode == 1


@pytest.mark.behaviour("X1")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("listeners", "15001"),
        ("routes", "forecast"),
        ("clusters", FORECAST),
        ("endpoints", FORECAST),
    ],
)
def test_proxy_config_shows_what_envoy_has(weather: Weather, meshctl: Command, what: str, words: str) -> None:
    pod = weather.client.pod.name
    result = meshctl("proxy-config", what, pod, "-n", "weather")
    assert result.returncode == 0, result.stderr
    assert words in result.stdout
    assert json.loads(meshctl("proxy-config", what, pod, "-n", "weather", "-o", "json").stdout)


@pytest.mark.behaviour("H2")
def test_a_command_that_cannot_be_run_is_told_in_the_api_servers_words(weather: Weather) -> None:
    pod = weather.client.pod
    with pytest.raises(CommandError) as told:
        weather.mesh.api.exec("weather", pod.name, "nope", ["ls"])
    begin = f"Pod weather/{pod.name}, container nope: cannot run ls: container nope is not valid"
    assert str(told.value).startswith(begin)
    assert "Handshake" not in str(told.value)


@pytest.mark.behaviour("X3")
def test_wait_returns_when_a_rule_is_in_force(weather: Weather, meshctl: Command) -> None:
    weather.mesh.apply(split(v1=100), wait=False)
    result = meshctl("wait", "vs/forecast", "-n", "weather")
    assert result.returncode == 0, result.stderr
    assert "is in force" in result.stdout
    missing = meshctl("wait", "virtualservice/nothing", "-n", "weather", "--timeout", "1")
    assert missing.returncode == 1
    assert "nothing" in missing.stderr


def kubectl(weather: Weather, *arguments: str) -> Run:
    program = Path(sys.executable).with_name("kubectl")
    command = [str(program), "--kubeconfig", str(weather.mesh.cluster.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.behaviour("W5")
def test_rules_that_kubectl_applies_are_in_force_when_meshctl_says_so(
    weather: Weather, meshctl: Command
) -> None:
    rule = str(weather.rule("all-v2"))
    applied = kubectl(weather, "apply", "-f", rule)
    assert applied.returncode == 0, applied.stderr
    try:
        assert meshctl("wait", "vs/forecast", "-n", "weather").returncode == 0
        weather.client.get(weather.forecast, count=10).check(all_ok(), versions("v2"))
    finally:
        assert kubectl(weather, "delete", "-f", rule).returncode == 0
        assert meshctl("wait", "vs/forecast", "-n", "weather", "--deleted").returncode == 0
    weather.client.get(weather.forecast, count=60).check(all_ok(), versions("v1", "v2"))


@pytest.mark.behaviour("W1")
def test_kubectl_goes_on_where_the_demo_was_deployed(weather: Weather) -> None:
    again = kubectl(weather, "apply", "-f", str(demo.MANIFESTS), "-f", str(weather.rule("versions")))
    assert again.returncode == 0
    assert again.stderr == "", "kubectl must find what it noted itself"
    assert {line.rsplit(" ", 1)[1] for line in again.stdout.splitlines()} == {"unchanged"}


@pytest.mark.behaviour("W1")
def test_kubectl_takes_every_manifest_and_rule_of_the_demo(weather: Weather) -> None:
    manifests = kubectl(weather, "apply", "--dry-run=server", "-f", str(demo.MANIFESTS))
    assert manifests.returncode == 0, manifests.stderr
    for rule in sorted(demo.RULES.glob("*.yaml")):
        result = kubectl(weather, "apply", "--dry-run=server", "-f", str(rule))
        assert result.returncode == 0, result.stderr


@pytest.mark.behaviour("I1")
def test_kube_inject_does_to_a_file_what_the_webhook_does(
    weather: Weather, meshctl: Command, tmp_path: Path
) -> None:
    result = meshctl("kube-inject", "-f", str(demo.MANIFESTS / "recommendation.yaml"))
    assert result.returncode == 0, result.stderr
    (deployment,) = [d for d in yaml.safe_load_all(result.stdout) if d["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    live = weather.pod("recommendation")
    names = [c["name"] for c in (*spec["initContainers"], *spec["containers"])]
    assert names == live.containers
    (tmp_path / "once.yaml").write_text(result.stdout)
    again = meshctl("kube-inject", "-f", str(tmp_path / "once.yaml"))
    assert list(yaml.safe_load_all(again.stdout)) == list(yaml.safe_load_all(result.stdout))


@pytest.mark.behaviour("H2")
def test_version_names_client_envoy_and_control_plane(meshctl: Command) -> None:
    shown = json.loads(meshctl("version", "-o", "json").stdout)
    assert shown["client"] == shown["control plane"]
    assert shown["envoy"].startswith("1.40")


@pytest.mark.behaviour("H2")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("proxy-stats",), 2, "proxy-status"),
        (("wait", "forecast"), 1, "KIND"),
        (("wait", "vs/forecast", "-n", "weather", "--timeout", "-1"), 2, "--timeout"),
        (("kube-inject", "-f", "/no/such/file"), 1, "/no/such/file"),
        (("proxy-config", "routes", "nobody", "-n", "weather"), 1, "nobody"),
    ],
)
def test_wrong_use_is_explained(meshctl: Command, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = meshctl(*arguments)
    assert result.returncode == code, (result.stdout, result.stderr)
    assert words.lower() in (result.stderr + result.stdout).lower()
