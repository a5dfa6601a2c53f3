"""A Pod's status from facts, and the rule for restarts."""

from __future__ import annotations

from typing import Any

import pytest

from pocketkube.node.backoff import BackOff
from pocketkube.node.status import ContainerStatus, Facts, build, qos_class

pytestmark = pytest.mark.behaviour("H1")

ENDED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
BROKEN = {"terminated": {"exitCode": 1, "reason": "Error"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITING = {"waiting": {"reason": "ContainerCreating"}}


def container(
    name: str, state: dict[str, Any], *, ready: bool = False, started: bool = False
) -> ContainerStatus:
    return ContainerStatus(name, "image", state=state, ready=ready, started=started)


def status(
    *containers: ContainerStatus,
    init: tuple[ContainerStatus, ...] = (),
    finished: bool = False,
    old: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": entry.name} for entry in containers], **(spec or {})}}
    facts = Facts(
        {**pod, "status": old or {}}, "198.18.0.1", "198.18.1.2", "start", True, init, containers, finished
    )
    return build(facts, "now")


def conditions(made: dict[str, Any]) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in made["conditions"]}


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    made = status(container("a", RUNNING, ready=True), container("b", RUNNING))
    assert made["phase"] == "Running"
    assert conditions(made)["Ready"] == "False"
    message = next(entry["message"] for entry in made["conditions"] if entry["type"] == "ContainersReady")
    assert message == "containers with unready status: [b]"
    assert conditions(status(container("a", RUNNING, ready=True)))["Ready"] == "True"


def test_init_containers_come_first() -> None:
    made = status(container("a", WAITING), init=(container("first", RUNNING),))
    assert made["phase"] == "Pending"
    assert conditions(made)["Initialized"] == "False"
    done = status(container("a", WAITING), init=(container("first", ENDED),))
    assert conditions(done)["Initialized"] == "True"


def test_a_sidecar_counts_once_it_has_started() -> None:
    spec = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
    waiting = status(container("a", WAITING), init=(container("proxy", RUNNING),), spec=spec)
    assert conditions(waiting)["Initialized"] == "False"
    both = status(
        container("a", RUNNING, ready=True), init=(container("proxy", RUNNING, started=True),), spec=spec
    )
    assert conditions(both)["Ready"] == "False", "its readiness counts too"


@pytest.mark.parametrize(("state", "phase"), [(ENDED, "Succeeded"), (BROKEN, "Failed")])
def test_the_end_of_a_pod(state: dict[str, Any], phase: str) -> None:
    made = status(container("a", state), finished=True)
    assert made["phase"] == phase
    assert conditions(made)["Ready"] == "False"


def test_readiness_gates_hold_a_pod_back_and_foreign_conditions_stay() -> None:
    spec = {"readinessGates": [{"conditionType": "example.com/gate"}]}
    closed = status(container("a", RUNNING, ready=True), spec=spec)
    assert conditions(closed)["Ready"] == "False"
    gate = {"type": "example.com/gate", "status": "True", "lastTransitionTime": "then"}
    opened = status(container("a", RUNNING, ready=True), spec=spec, old={"conditions": [gate]})
    assert conditions(opened)["Ready"] == "True"
    assert gate in opened["conditions"]


def test_the_time_of_a_condition_changes_with_its_status_only() -> None:
    old = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "then"}]}
    times = {
        entry["type"]: entry["lastTransitionTime"]
        for entry in status(container("a", RUNNING), old=old)["conditions"]
    }
    assert (times["Ready"], times["ContainersReady"]) == ("then", "now")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        (
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
            "Burstable",
        ),
    ],
)
def test_quality_of_service(resources: dict[str, Any], expected: str) -> None:
    assert qos_class({"spec": {"containers": [{"name": "a", "resources": resources}]}}) == expected


def test_restarts_wait_ever_longer() -> None:
    rule = BackOff()
    assert [rule.delay(crashes) for crashes in (1, 2, 3, 4, 9)] == [0, 10, 20, 40, 300]
    assert rule.good_run(601)
    assert not rule.good_run(299)
