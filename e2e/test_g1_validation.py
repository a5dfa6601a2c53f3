"""G1: nothing wrong gets in: it is refused at admission, all errors at once, each with its field."""

from typing import Any

import pytest
import yaml

from e2e.conftest import Command
from e2e.helpers import to_forecast, virtual_service
from e2e.security import authorize, networking, operations, peers, security
from pytest_mesh import ApiRefused, HarnessError, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = pytest.mark.behaviour("G1")
HOOKS = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
}


def very_wrong() -> Obj:
    """A VirtualService with a mistake in each of five places."""
    return virtual_service(
        "wrong",
        "forecast",
        [
            {
                "match": [{"uri": {"regex": "("}}],
                "route": to_forecast(v1=60, v2=60),
                "timeout": "-1s",
                "retries": {"attempts": 2, "perTryTimeout": "soon"},
                "fault": {"abort": {"httpStatus": 99, "percentage": {"value": 101}}},
            }
        ],
    )


def test_all_errors_come_at_once_each_with_its_field(weather: Weather) -> None:
    with pytest.raises(ApiRefused) as refused:
        weather.mesh.apply(very_wrong())
    told = str(refused.value)
    for field in ("http[0].match[0].uri", "timeout", "perTryTimeout", "httpStatus", "percentage"):
        assert field in told, told
    assert weather.mesh.api.find(very_wrong()) is None


def test_kubectl_tells_them_too(weather: Weather, kubectl: Command) -> None:
    result = kubectl("apply", "-f", "-", stdin=yaml.safe_dump(very_wrong()))
    assert result.returncode != 0
    for field in ("uri", "perTryTimeout", "httpStatus"):
        assert field in result.stderr, result.stderr
    assert weather.mesh.api.find(very_wrong()) is None


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (peers("STRICKT"), "STRICKT"),
        (peers("STRICT", app="", ports={8080: "STRICT"}), "portLevelMtls"),
        (authorize("x", "ALLOW", {"from": [{"source": {"ipBlocks": ["300.1.1.1"]}}]}), "ipBlocks"),
        (authorize("x", "ALLOW", {"when": [{"key": "request.color", "values": ["red"]}]}), "request.color"),
        (authorize("x", "CUSTOM", operations(paths=["/"])), "provider"),
        (security("RequestAuthentication", "x", jwtRules=[{"issuer": "a", "jwks": "{"}]), "jwks"),
        (networking("ServiceEntry", "x", hosts=["a.example"], ports=[], resolution="STATIC"), "ports"),
        (networking("DestinationRule", "x", host="a", subsets=[{"name": "v"}, {"name": "v"}]), "subsets"),
        (networking("Gateway", "x", servers=[{"port": {"number": 443, "name": "a", "protocol": "HTTPS"},
                                              "hosts": ["*"]}]), "tls"),
    ],
    ids=["mode", "ports of none", "address", "key", "provider", "keys", "no ports", "twice", "no tls"],
)  # fmt: skip
def test_wrong_content_of_each_kind_is_refused(weather: Weather, item: Obj, words: str) -> None:
    with pytest.raises(ApiRefused, match=words):
        weather.mesh.apply(item, wait=False)
    assert weather.mesh.api.find(item) is None


def test_what_is_only_doubtful_is_warned_of(weather: Weather, kubectl: Command) -> None:
    routes: list[Obj] = [{"route": to_forecast(v1=100)}, {"route": to_forecast(v2=100)}]
    item = virtual_service("shadowed", "forecast", routes)
    weather.mesh.apply(item)
    assert any("http[1]" in text for text in weather.mesh.warnings), weather.mesh.warnings
    result = kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(item))
    assert result.returncode == 0
    assert "Warning:" in result.stderr


DEPLOYMENT = """
apiVersion: {api}
kind: Deployment
metadata:
  name: typo
  namespace: weather
spec:
  selector: {{matchLabels: {{app: typo}}}}
  template:
    metadata: {{labels: {{app: typo}}}}
    spec: {{containers: [{{name: a, image: "meshwright/weather:0.1.0"}}]}}
"""
SERVICE = """
{api}: v1
kind: Service
metadata:
  name: typo
  namespace: weather
{rest}
"""
PORT = "spec: {{ports: [{{name: http, port: 80, {target}: 3000}}]}}"
TYPING_ERRORS = {
    "apiversion": (SERVICE.format(api="apiversion", rest=PORT.format(target="targetPort")), "apiVersion"),
    "tagetPort": (SERVICE.format(api="apiVersion", rest=PORT.format(target="tagetPort")), "tagetPort"),
    "app/v1": (DEPLOYMENT.format(api="app/v1"), "apps/v1"),
    "spec in metadata": (SERVICE.format(api="apiVersion", rest="  spec: {ports: [{port: 80}]}"), "spec"),
}


@pytest.mark.parametrize("name", list(TYPING_ERRORS))
def test_typing_errors_of_beginners_are_refused_with_the_remedy(weather: Weather, name: str) -> None:
    text, words = TYPING_ERRORS[name]
    with pytest.raises(HarnessError) as refused:
        weather.mesh.apply(text, wait=False)
    notes = getattr(refused.value, "__notes__", [])
    assert words in " ".join([str(refused.value), *notes])


@pytest.mark.parametrize("name", list(TYPING_ERRORS))
def test_meshctl_validate_says_the_same_of_a_file(meshctl_alone: Any, tmp_path: Any, name: str) -> None:
    text, words = TYPING_ERRORS[name]
    file = tmp_path / "typo.yaml"
    file.write_text(text)
    result = meshctl_alone("validate", "-f", str(file))
    assert result.returncode != 0
    assert words in result.stdout + result.stderr
    assert "typo.yaml" in result.stdout + result.stderr


def test_the_webhook_fails_closed_and_its_certificate_is_kept_fresh(weather: Weather) -> None:
    found = [
        item
        for item in weather.mesh.api.items(
            "ValidatingWebhookConfiguration", api="admissionregistration.k8s.io/v1"
        )
        if item["metadata"].get("labels", {}).get("app") == "istio-galley"
    ]
    (configuration,) = found
    for hook in configuration["webhooks"]:
        assert hook["failurePolicy"] == "Fail"
        assert hook["clientConfig"]["caBundle"]
    bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
    spoilt = {"webhooks": [{**h, "clientConfig": {**h["clientConfig"], "caBundle": "c3BvaWx0"}}
                           for h in configuration["webhooks"]]}  # fmt: skip
    weather.mesh.api.patch({**HOOKS, "metadata": configuration["metadata"]}, spoilt)

    def repaired() -> bool:
        now = weather.mesh.api.find({**HOOKS, "metadata": configuration["metadata"]})
        return now is not None and now["webhooks"][0]["clientConfig"]["caBundle"] == bundle

    eventually(repaired, 20)
    with pytest.raises(ApiRefused, match="perTryTimeout"):
        weather.mesh.apply(very_wrong())
