"""What injection makes of a Pod."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given as whatever
from hypothesis import strategies

from mesh.injector.inject import workload_of
from mesh.injector.settings import Settings
from tests.injector.pods import FRONTEND, check_schema, container, environment, flags, injected, pod

pytestmark = pytest.mark.behaviour("I1")

GOLDEN = Path(__file__).parent / "golden"


def test_the_frontend_of_the_demo() -> None:
    golden = yaml.safe_load((GOLDEN / "frontend.yaml").read_text())
    result = injected(FRONTEND, Settings(image="meshwright/mesh:test"))
    assert result == golden, yaml.safe_dump(result, sort_keys=False)


def test_kubernetes_accepts_it() -> None:
    everything = pod(annotations=EVERYTHING, initContainers=[{"name": "first", "image": "x"}])
    check_schema(injected(FRONTEND), injected(everything))


EVERYTHING = {
    "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true",
    "sidecar.istio.io/proxyCPU": "100m",
    "sidecar.istio.io/userVolume": '{"more": {"emptyDir": {}}}',
    "sidecar.istio.io/userVolumeMount": '{"more": {"mountPath": "/more"}}',
    "traffic.sidecar.istio.io/excludeOutboundPorts": "9090",
}
CHOICES = strategies.fixed_dictionaries({}, optional={k: strategies.just(v) for k, v in EVERYTHING.items()})


@whatever(CHOICES, strategies.booleans())
def test_injecting_twice_changes_nothing(annotations: dict[str, str], has_init: bool) -> None:
    more: dict[str, Any] = {"initContainers": [{"name": "first", "image": "x"}]} if has_init else {}
    once = injected(pod(annotations=annotations, **more))
    assert injected(once) == once


def test_the_owners_manifest_is_untouched() -> None:
    before = copy.deepcopy(FRONTEND)
    result = injected(FRONTEND)
    result["spec"]["containers"][0]["name"] = "changed"
    result["spec"]["volumes"].clear()
    assert before == FRONTEND
    assert injected(FRONTEND)["spec"]["volumes"]


def test_nothing_of_the_pods_own_is_lost() -> None:
    given = pod(
        annotations={"note": "mine", "kubectl.kubernetes.io/default-container": "other"},
        volumes=[{"name": "data", "emptyDir": {}}],
        initContainers=[{"name": "first", "image": "x"}],
        containers=[{"name": "one", "image": "x"}, {"name": "other", "image": "y"}],
        securityContext={"runAsUser": 5},
    )
    result = injected(given)
    assert [each["name"] for each in result["spec"]["containers"]] == ["one", "other", "istio-proxy"]
    # The Pod's own init containers run before interception, while the network is still open to them.
    assert [each["name"] for each in result["spec"]["initContainers"]] == ["first", "istio-init"]
    assert result["spec"]["volumes"][0] == {"name": "data", "emptyDir": {}}
    assert result["spec"]["securityContext"] == {"runAsUser": 5}
    assert (
        result["metadata"]["annotations"] | given["metadata"]["annotations"]
        == result["metadata"]["annotations"]
    )
    assert result["metadata"]["labels"] | given["metadata"]["labels"] == result["metadata"]["labels"]


def test_null_where_lists_and_maps_belong() -> None:
    given = {
        "metadata": {"annotations": None, "labels": None},
        "spec": {"containers": [{"name": "a"}], "volumes": None},
    }
    assert container(injected(given))


def test_the_status_tells_what_was_added_and_changes_with_the_template() -> None:
    def status(settings: Settings) -> Any:
        return json.loads(injected(FRONTEND, settings)["metadata"]["annotations"]["sidecar.istio.io/status"])

    found = status(Settings())
    assert found["containers"] == ["istio-proxy"] and found["initContainers"] == ["istio-init"]
    secret = ["workload-socket", "istio-token", "istiod-ca-cert"]
    assert found["volumes"] == [*secret, "istio-envoy", "istio-data", "istio-podinfo"]
    assert found["version"] == status(Settings())["version"] != status(Settings(image="other:1"))["version"]


def test_hold_application_puts_the_proxy_first_and_waits_for_it() -> None:
    held = injected(pod(annotations={"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}))
    assert [each["name"] for each in held["spec"]["containers"]] == ["istio-proxy", "frontend"]
    assert container(held)["lifecycle"]["postStart"]["exec"]["command"] == ["pilot-agent", "wait"]
    by_default = Settings(proxy_config={"holdApplicationUntilProxyStarts": True})
    assert injected(FRONTEND, by_default)["spec"]["containers"][0]["name"] == "istio-proxy"


def test_privileges() -> None:
    result = injected(FRONTEND)
    init, proxy = (container(result, name)["securityContext"] for name in ("istio-init", "istio-proxy"))
    assert init["capabilities"] == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
    assert proxy["capabilities"] == {"drop": ["ALL"]}
    assert (proxy["runAsUser"], proxy["runAsGroup"], proxy["readOnlyRootFilesystem"]) == (1337, 1337, True)


def test_every_list_but_interceptions_own_is_everything() -> None:
    assert flags(injected(FRONTEND)) == {"-u": "1337", "-g": "1337", "-b": "*", "-i": "*"}


def test_canonical_name_and_revision_stand_in_for_any_labels() -> None:
    def canonical(**labels: str) -> list[str]:
        given = pod()
        given["metadata"]["labels"] = labels
        found = injected(given)["metadata"]["labels"]
        return [found[f"service.istio.io/canonical-{what}"] for what in ("name", "revision")]

    assert canonical(app="a", version="v1") == ["a", "v1"]
    assert canonical(**{"app.kubernetes.io/name": "b", "app": "a"}) == ["b", "latest"]
    assert canonical() == ["frontend-v1", "latest"]


@pytest.mark.parametrize(
    ("metadata", "name", "path"),
    [
        (FRONTEND["metadata"], "frontend-v1", "apps/v1/namespaces/weather/deployments/frontend-v1"),
        ({"name": "bare"}, "bare", "v1/namespaces/weather/pods/bare"),
        ({"generateName": "bare-"}, "bare", "v1/namespaces/weather/pods/bare"),
        (
            {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "controller": True}]},
            "j",
            "batch/v1/namespaces/weather/jobs/j",
        ),
        (
            # A ReplicaSet of one's own, without a Deployment.
            {
                "labels": {"pod-template-hash": "other"},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set-abc", "controller": True}
                ],
            },
            "set-abc",
            "apps/v1/namespaces/weather/replicasets/set-abc",
        ),
    ],
)
def test_the_workload_of_a_pod(metadata: Any, name: str, path: str) -> None:
    assert workload_of(metadata, "weather") == (name, f"kubernetes://apis/{path}")


def test_pilot_learns_the_workload() -> None:
    variables = environment(injected(FRONTEND))
    assert variables["ISTIO_META_WORKLOAD_NAME"] == "frontend-v1"
    assert json.loads(variables["ISTIO_META_POD_PORTS"]) == [{"name": "http", "containerPort": 3000}]
    assert variables["ISTIO_META_APP_CONTAINERS"] == "frontend"
