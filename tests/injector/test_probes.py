"""Probes of the application are led to the agent, which is told what they were."""

import copy
import json
from typing import Any

import pytest

from mesh.agent.probes import read
from mesh.injector.annotations import AnnotationProblem
from tests.injector.pods import FRONTEND, check_schema, container, environment, injected, pod

pytestmark = pytest.mark.behaviour("I2")

HTTP = {"path": "/ok", "port": "web", "scheme": "HTTPS", "httpHeaders": [{"name": "a", "value": "b"}]}
APP: dict[str, Any] = {
    "name": "app",
    "image": "x",
    "ports": [{"name": "web", "containerPort": 8443}],
    "livenessProbe": {"httpGet": HTTP, "timeoutSeconds": 3, "periodSeconds": 7},
    "readinessProbe": {"tcpSocket": {"port": 9000}},
    "startupProbe": {"grpc": {"port": 9001, "service": "s"}},
}


def with_probes(*containers: dict[str, Any], **annotations: str) -> dict[str, Any]:
    made = copy.deepcopy(pod(annotations=annotations))
    made["spec"]["containers"] = [copy.deepcopy(each) for each in containers]
    return made


def test_each_form_becomes_a_question_to_the_agent() -> None:
    result = injected(with_probes(APP))
    app = container(result, "app")
    port = {"port": 15020}
    assert app["livenessProbe"] == {
        "httpGet": {"path": "/app-health/app/livez", **port}, "timeoutSeconds": 3, "periodSeconds": 7
    }  # fmt: skip
    assert app["readinessProbe"] == {"httpGet": {"path": "/app-health/app/readyz", **port}}
    assert app["startupProbe"] == {"httpGet": {"path": "/app-health/app/startupz", **port}}
    check_schema(result)


def test_the_agent_is_told_what_they_were() -> None:
    variables = environment(injected(with_probes(APP)))
    assert json.loads(variables["ISTIO_KUBE_APP_PROBERS"]) == {
        "/app-health/app/livez": {"httpGet": {**HTTP, "port": 8443}, "timeoutSeconds": 3},
        "/app-health/app/readyz": {"tcpSocket": {"port": 9000}},
        "/app-health/app/startupz": {"grpc": {"port": 9001, "service": "s"}},
    }
    assert set(read(variables)) == set(json.loads(variables["ISTIO_KUBE_APP_PROBERS"]))


@pytest.mark.parametrize(
    "probe", [{"exec": {"command": ["true"]}}, {"httpGet": {"path": "/", "port": 15020}}, None]
)
def test_what_needs_no_certificate_stays(probe: Any) -> None:
    app = {"name": "app", "image": "x", "livenessProbe": probe}
    result = injected(with_probes(app))
    assert container(result, "app")["livenessProbe"] == probe
    assert "ISTIO_KUBE_APP_PROBERS" not in environment(result)


def test_a_pod_may_keep_its_probes() -> None:
    result = injected(with_probes(APP, **{"sidecar.istio.io/rewriteAppHTTPProbers": "false"}))
    assert container(result, "app") == APP


def test_the_agents_port_may_be_another() -> None:
    result = injected(with_probes(APP, **{"status.sidecar.istio.io/port": "15999"}))
    assert container(result, "app")["livenessProbe"]["httpGet"]["port"] == 15999


def test_two_containers_do_not_mix() -> None:
    other = {**APP, "name": "other"}
    told = json.loads(environment(injected(with_probes(APP, other)))["ISTIO_KUBE_APP_PROBERS"])
    assert len(told) == 6 and "/app-health/other/livez" in told


def test_certificates_may_come_from_a_secret() -> None:
    result = injected(with_probes(APP, **{"security.istio.io/certificates": "secret"}))
    account = result["spec"].get("serviceAccountName", "default")
    volumes = {volume["name"]: volume for volume in result["spec"]["volumes"]}
    assert volumes["istio-certs"]["secret"] == {"secretName": f"istio.{account}"}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(result)["volumeMounts"]}
    assert mounts["istio-certs"] == "/etc/certs"
    assert "istio-certs" not in json.dumps(injected(FRONTEND))
    with pytest.raises(AnnotationProblem, match="write secret"):
        injected(with_probes(APP, **{"security.istio.io/certificates": "file"}))


def test_a_pod_says_that_it_takes_mutual_tls() -> None:
    assert injected(FRONTEND)["metadata"]["labels"]["security.istio.io/tlsMode"] == "istio"
    own = pod(labels={"security.istio.io/tlsMode": "disabled"})
    assert injected(own)["metadata"]["labels"]["security.istio.io/tlsMode"] == "disabled"
