"""The webhook as the API server meets it: AdmissionReview v1 over TLS."""

import base64
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from mesh.injector.settings import Settings
from tests.injector.pods import FRONTEND, container, environment, injected, pod
from tests.injector.webhook import PROGRAM, Webhook, webhook
from tests.pki.authorities import authority

pytestmark = pytest.mark.behaviour("W1", "I1")

MESH = "defaultConfig: {concurrency: 2, discoveryAddress: 'pilot:1'}\nrootNamespace: istio-system\n"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Webhook]:
    with webhook(tmp_path, mesh=MESH) as made:
        yield made


def review(given: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "weather",
            "operation": "CREATE",
            "object": given,
            "oldObject": None,
            "dryRun": False,
        },
    }


def admitted(running: Webhook, given: Any) -> Any:
    """The Pod after the webhook's patch."""
    status, answer = running.ask("POST", "/inject", review(given))
    assert status == 200
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = answer["response"]
    assert (response["uid"], response["allowed"]) == ("705ab4f5", True)
    if "patch" not in response:
        return given
    assert response["patchType"] == "JSONPatch"
    return jsonpatch.apply_patch(given, json.loads(base64.b64decode(response["patch"])))


def test_the_patch_makes_what_injection_makes(running: Webhook) -> None:
    settings = Settings.parse("{}", MESH)
    for given in (FRONTEND, pod(volumes=[{"name": "a", "emptyDir": {}}], annotations={"b": "c/d~e"})):
        assert admitted(running, given) == injected(given, settings)


def test_asked_again_it_changes_nothing(running: Webhook) -> None:
    once = admitted(running, FRONTEND)
    assert admitted(running, once) == once


def test_a_pod_that_refuses_is_left_alone(running: Webhook) -> None:
    for given in (pod(annotations={"sidecar.istio.io/inject": "false"}), pod(hostNetwork=True)):
        assert admitted(running, given) == given


def test_a_wrong_annotation_refuses_the_pod_by_name(running: Webhook) -> None:
    given = pod(annotations={"traffic.sidecar.istio.io/excludeOutboundPorts": "http"})
    _, answer = running.ask("POST", "/inject", review(given))
    assert answer["response"]["allowed"] is False
    assert answer["response"]["status"]["message"] == (
        "Pod weather/frontend-v1-5d7c8f9b6d-: annotation traffic.sidecar.istio.io/excludeOutboundPorts: "
        "'http': 'http' is not a port (1-65535); write a list like 8080,9090, or *"
    )


@pytest.mark.parametrize("body", ["no json", "[]", "{}", '{"request": {"uid": "1", "object": null}}'])
def test_what_is_no_review_is_refused(running: Webhook, body: str) -> None:
    status, text = running.ask("POST", "/inject", body)
    assert status == 400
    assert "Traceback" not in text


def test_the_mesh_configuration_gives_the_defaults(running: Webhook) -> None:
    config = json.loads(environment(admitted(running, FRONTEND))["PROXY_CONFIG"])
    assert config == {"concurrency": 2, "discoveryAddress": "pilot:1"}


def test_changed_settings_are_in_force_at_the_next_pod(running: Webhook) -> None:
    running.write(values='{"image": "other:1"}')
    assert container(admitted(running, FRONTEND))["image"] == "other:1"


def test_wrong_settings_leave_the_last_good_ones(
    running: Webhook, capsys: pytest.CaptureFixture[str]
) -> None:
    running.write(values='{"imagine": "other:1"}')
    assert container(admitted(running, FRONTEND))["image"] == Settings().image
    said = capsys.readouterr().err
    assert "unknown ['imagine']; known are" in said and "the last good settings stay" in said


def test_a_renewed_certificate_is_shown_at_once(running: Webhook) -> None:
    old, running.signer.by = running.signer.by, authority()
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        admitted(running, FRONTEND)
    running.renew()
    assert admitted(running, FRONTEND) != FRONTEND
    running.signer.by = old
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        admitted(running, FRONTEND)


def refused(folder: Path) -> str:
    """What the program says when it cannot even begin."""
    command = [*PROGRAM, "--config", str(folder), "--mesh-config", str(folder / "mesh")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    return done.stderr


def test_without_settings_it_says_what_to_mount(tmp_path: Path) -> None:
    assert "mount istio-sidecar-injector there" in refused(tmp_path)


@pytest.mark.parametrize(
    ("values", "config", "words"),
    [
        ("{", "", "not JSON"),
        ("[]", "", "no JSON object"),
        ('{"requests": "100m"}', "", "requests is '100m', a str"),
        ('{"policy": "maybe"}', "", "policy is 'maybe'; it must be enabled or disabled"),
        ("{}", "defaultConfig: 3", "the mesh configuration cannot be read"),
        ("{}", "- a", "the mesh configuration cannot be read"),
    ],
)
def test_settings_that_make_no_sense_are_named(tmp_path: Path, values: str, config: str, words: str) -> None:
    (tmp_path / "values").write_text(values)
    (tmp_path / "mesh").write_text(config)
    assert words in refused(tmp_path)
