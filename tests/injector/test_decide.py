"""Who gets a sidecar."""

from typing import Any

import pytest

from mesh.injector.decide import Question, decide
from mesh.injector.settings import Settings
from tests.injector.pods import pod

pytestmark = pytest.mark.behaviour("I1")

INJECT = "sidecar.istio.io/inject"
ENABLED, DISABLED, SILENT = {"istio-injection": "enabled"}, {"istio-injection": "disabled"}, {"team": "x"}


def decision(given: Any, labels: Any, *, namespace: str = "weather", policy: str = "enabled") -> Any:
    found = decide(Question(given, namespace, labels, Settings(policy=policy)))
    return found.inject, found.reason


@pytest.mark.parametrize(
    ("namespace_labels", "labels", "annotations", "expected"),
    [
        (ENABLED, {}, {}, True),
        (DISABLED, {}, {}, False),
        (SILENT, {}, {}, False),
        (ENABLED, {INJECT: "false"}, {}, False),
        (ENABLED, {}, {INJECT: "false"}, False),
        (SILENT, {INJECT: "true"}, {}, True),
        (SILENT, {}, {INJECT: "true"}, True),
        (ENABLED, {INJECT: "false"}, {INJECT: "true"}, False),
        (ENABLED, {INJECT: "true"}, {INJECT: "false"}, True),
        (ENABLED, {INJECT: "no"}, {}, False),
        (ENABLED, {}, {INJECT: "YES"}, True),
        (ENABLED, {INJECT: "ture"}, {}, False),
        (ENABLED, {INJECT: ""}, {}, True),
        (ENABLED, {"istio.io/rev": "canary"}, {}, True),
    ],
)
def test_labels_and_annotations(namespace_labels: Any, labels: Any, annotations: Any, expected: bool) -> None:
    given = pod(labels=labels, annotations=annotations)
    assert decision(given, namespace_labels)[0] is expected


def test_the_hosts_network_is_left_alone_whatever_is_asked() -> None:
    given = pod(labels={INJECT: "true"}, hostNetwork=True)
    assert decision(given, ENABLED) == (False, "it uses the host's network")


def test_kubernetes_own_namespaces_are_left_alone() -> None:
    assert decision(pod(), ENABLED, namespace="kube-system")[0] is False


def test_what_has_a_sidecar_gets_no_other() -> None:
    given = pod(containers=[{"name": "app"}, {"name": "istio-proxy"}])
    assert decision(given, ENABLED) == (False, "it has a sidecar already")


@pytest.mark.parametrize("containers", [[], None])
def test_a_pod_without_containers_does_not_become_one_by_its_sidecar(containers: Any) -> None:
    assert decision(pod(containers=containers), ENABLED) == (False, "it has no containers")


def test_with_policy_disabled_only_the_pods_own_word_counts() -> None:
    assert decision(pod(), ENABLED, policy="disabled")[0] is False
    assert decision(pod(labels={INJECT: "true"}), ENABLED, policy="disabled")[0] is True


def test_a_reason_names_what_decided() -> None:
    assert decision(pod(labels={INJECT: "false"}), ENABLED)[1] == f"its label {INJECT} is 'false'"
    assert decision(pod(), ENABLED)[1] == "namespace weather has istio-injection=enabled"
    assert decision(pod(), SILENT)[1] == "neither the Pod nor its namespace asks for a sidecar"
