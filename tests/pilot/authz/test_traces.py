"""S7: what AUDIT policies and those on trial (`istio.io/dry-run`) have matched can be read from Envoy."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.pilot.authz import rig
from tests.pilot.authz.calls import Call, Workload
from tests.pilot.authz.compiled import Compiled
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("S7")

SECRET = [{"to": [{"operation": {"paths": ["/secret*"]}}]}]
OPEN = [{"to": [{"operation": {"paths": ["/open*"]}}]}]


def policy(name: str, action: str, rules: list[Any], *, trial: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {
            "name": name,
            "namespace": "weather",
            "annotations": {"istio.io/dry-run": "true"} if trial else {},
        },
        "spec": {"action": action, "rules": rules},
    }


POLICIES = [
    policy("watch", "AUDIT", [{"to": [{"operation": {"methods": ["PUT"]}}]}, *SECRET]),
    policy("trial-deny", "DENY", SECRET, trial=True),
    policy("trial-allow", "ALLOW", OPEN, trial=True),
]

Ask = Callable[[Call], rig.Answer]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    folder = tmp_path_factory.mktemp("traces")
    ports = (free_port(),)
    at = Workload("weather", {}, f"127.{100 + os.getpid() % 100}.7.1", ports)
    served = rig.Served("traces", at.address, ports, Compiled(POLICIES).http(at))
    callers = rig.Callers(folder)
    with rig.envoy([served], folder):
        yield lambda call: callers.call(call, at.address, ports)


def test_an_audited_request_passes_and_names_the_rule(ask: Ask) -> None:
    answer = ask(Call(method="PUT"))
    assert answer.status == 200
    assert answer.headers["x-audited"] == "ns[weather]-policy[watch]-rule[0]"
    assert ask(Call(path="/secret")).headers["x-audited"] == "ns[weather]-policy[watch]-rule[1]"


def test_what_no_audit_asks_for_names_none(ask: Ask) -> None:
    assert not ask(Call()).headers.get("x-audited", "").startswith("ns[")


def test_a_denial_on_trial_passes_and_names_the_rule(ask: Ask) -> None:
    answer = ask(Call(path="/secret"))
    assert answer.status == 200
    assert answer.headers["x-deny-trial"] == "ns[weather]-policy[trial-deny]-rule[0]"


def test_an_allowance_on_trial_tells_what_it_would_do(ask: Ask) -> None:
    assert ask(Call(path="/open")).headers["x-allow-trial"] == "allowed"
    answer = ask(Call(path="/other"))
    assert (answer.status, answer.headers["x-allow-trial"]) == (200, "denied")
