"""What the agent reads of its Pod, and what it says when that makes no sense."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.agent.environment import EnvironmentProblem, Pod, ProxySettings, downward, seconds

pytestmark = pytest.mark.behaviour("I3")

MINIMUM = {"POD_NAME": "a", "POD_NAMESPACE": "b", "INSTANCE_IP": "198.18.0.7"}


def test_defaults() -> None:
    settings = ProxySettings.parse("", {})
    assert settings.discovery_address == "istio-pilot.istio-system.svc:15012"
    assert (settings.plain, settings.pilot_name) == (False, "istio-pilot.istio-system.svc")
    assert settings.drain_duration == 10
    assert (settings.concurrency, settings.delta) == (1, True)


def test_proxy_config_is_obeyed() -> None:
    text = (
        '{"concurrency": 2, "drainDuration": "1m30s", "terminationDrainDuration": "200ms", "statusPort": 9}'
    )
    settings = ProxySettings.parse(text, {"ISTIO_DELTA_XDS": "false"})
    assert settings == ProxySettings(
        concurrency=2, drain_duration=90, termination_drain_duration=0.2, status_port=9, delta=False
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"concurrency": "many"}',
        '{"discoveryAddress": "pilot"}',
        '{"drainDuration": "5"}',
        '{"drainDuration": "-5s"}',
    ],
)
def test_a_proxy_config_that_makes_no_sense_is_shown(text: str) -> None:
    with pytest.raises(EnvironmentProblem, match="PROXY_CONFIG"):
        ProxySettings.parse(text, {})


@pytest.mark.parametrize(
    ("discovery", "policy", "plain"),
    [
        ("127.0.0.1:15010", None, True),
        ("127.0.0.1:15012", None, False),
        ("127.0.0.1:15010", "MUTUAL_TLS", False),
        ("localhost:9", "NONE", True),
        ("istio-pilot.istio-system.svc:15010", None, False),
    ],
)
def test_pilot_is_spoken_to_without_tls_on_loopback_only(
    discovery: str, policy: str | None, plain: bool
) -> None:
    config = {"discoveryAddress": discovery, **({"controlPlaneAuthPolicy": policy} if policy else {})}
    assert ProxySettings.parse(json.dumps(config), {}).plain is plain


@pytest.mark.parametrize(("policy", "words"), [("NONE", "on loopback only"), ("SOME", "MUTUAL_TLS or NONE")])
def test_a_policy_that_would_never_be_answered_is_refused(policy: str, words: str) -> None:
    config = {"discoveryAddress": "pilot.istio-system.svc:15010", "controlPlaneAuthPolicy": policy}
    with pytest.raises(EnvironmentProblem, match=words):
        ProxySettings.parse(json.dumps(config), {})


@pytest.mark.parametrize(
    ("text", "number"), [("5s", 5), ("1h", 3600), ("0.5s", 0.5), ("1m0.5s", 60.5), ("0s", 0)]
)
def test_durations(text: str, number: float) -> None:
    assert seconds(text) == number


def test_the_pod_of_its_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text('app="frontend"\nversion="v1"')
    (tmp_path / "annotations").write_text('note="two\\nlines, \\"quoted\\" = \\u00e4 \\x1b"\n')
    extra = {"ISTIO_META_WORKLOAD_NAME": "w", "ISTIO_META_POD_PORTS": '[{"containerPort": 80}]', "OTHER": "x"}
    pod = Pod.read(MINIMUM | extra, tmp_path)
    assert pod.labels == {"app": "frontend", "version": "v1"}
    assert pod.annotations == {"note": 'two\nlines, "quoted" = ä \x1b'}
    assert pod.metadata == {"WORKLOAD_NAME": "w", "POD_PORTS": [{"containerPort": 80}]}
    assert pod.service_account == "default"


def test_files_that_are_not_there_say_nothing(tmp_path: Path) -> None:
    assert downward(tmp_path / "labels") == {}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="POD_NAMESPACE, INSTANCE_IP not set"):
        Pod.read({"POD_NAME": "a"})


@pytest.mark.parametrize(
    ("arguments", "extra", "words"),
    [
        (["proxy", "sidecar"], {}, "POD_NAME, POD_NAMESPACE, INSTANCE_IP not set"),
        (["proxy", "sidecar"], MINIMUM | {"PROXY_CONFIG": "{"}, "PROXY_CONFIG '{'"),
        (
            ["request", "GET", "ready"],
            {"PROXY_CONFIG": '{"proxyAdminPort": 1}'},
            "127.0.0.1:1 does not answer",
        ),
        (["wait", "--timeoutSeconds", "0"], {"PROXY_CONFIG": '{"statusPort": 1}'}, "not ready after 0 s"),
        (["request", "GET", "ready"], {"PROXY_CONFIG": "{"}, "PROXY_CONFIG '{'"),
    ],
)
def test_errors_are_one_line(arguments: list[str], extra: dict[str, str], words: str) -> None:
    argv = [sys.executable, "-m", "mesh.agent.main", *arguments]
    environment = {"PATH": os.environ["PATH"]} | extra
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert words in done.stderr and done.stderr.count("\n") == 1
