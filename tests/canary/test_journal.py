"""H4: what a rollout leaves on a rule, and the rule put back from it, on a real API server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from loadtests.canary.errors import CanaryError, TakenAway
from loadtests.canary.journal import ANNOTATION, Journal, Rule, journal_of, process_start
from loadtests.canary.rollout import load_text
from loadtests.canary.route import at_weight
from mesh.api.crds import crd
from mesh.api.kinds import BY_KIND
from pytest_mesh.kube import Api
from tests.canary.test_rollout import GOOD
from tests.canary.test_route import RULE
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("H4")
ROLLOUT = load_text(GOOD)


@pytest.fixture(scope="module")
def api(served: Served) -> Iterator[Api]:
    """An API server that knows VirtualServices."""
    connection = Api(served.kubeconfig)
    connection.create(crd(BY_KIND["VirtualService"]))
    connection.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weather"}})
    yield connection
    connection.close()


@pytest.fixture(params=[{}, {"labels": {"app": "forecast"}, "annotations": {"note": "it's mine"}}])
def rule(api: Api, request: pytest.FixtureRequest) -> Iterator[Rule]:
    found = Rule(api, "weather", "forecast")
    metadata = {**found.reference["metadata"], **request.param}  # type: ignore[dict-item]
    api.create({**found.reference, "metadata": metadata, "spec": RULE})
    yield found
    api.delete(found.reference)


def wrote(found: dict[str, Any]) -> dict[str, Any]:
    return {"spec": found["spec"]} | {
        name: found["metadata"].get(name) for name in ("labels", "annotations", "name", "uid")
    }


def test_a_rule_is_put_back_as_it_was(rule: Rule) -> None:
    before = rule.find()
    journal = Journal.new(ROLLOUT, before, time.time() + 60)
    rule.write(at_weight(before["spec"], ROLLOUT, 50), journal)
    changed = rule.find()
    assert wrote(changed) != wrote(before)
    left = journal_of(changed)
    assert left == journal
    rule.write(at_weight(before["spec"], ROLLOUT, 0), journal)
    rule.restore(left)
    assert wrote(rule.find()) == wrote(before)
    assert journal_of(rule.find()) is None


def test_others_hands_are_seen(rule: Rule, api: Api) -> None:
    before = rule.find()
    journal = Journal.new(ROLLOUT, before, time.time() + 60)
    written = rule.write(at_weight(before["spec"], ROLLOUT, 50), journal)
    rule.check_ours(journal, written["spec"])
    with pytest.raises(CanaryError, match="changed by somebody else"):
        rule.check_ours(journal, before["spec"])
    rule.write(written["spec"], journal.taken_over())
    with pytest.raises(TakenAway, match="aborted from outside"):
        rule.check_ours(journal, written["spec"])
    rule.restore(journal)
    with pytest.raises(TakenAway):
        rule.check_ours(journal, before["spec"])


def test_a_rule_that_is_not_there(api: Api) -> None:
    with pytest.raises(CanaryError, match="no VirtualService weather/none"):
        Rule(api, "weather", "none").find()


def test_a_broken_journal_is_told(rule: Rule, api: Api) -> None:
    api.patch(rule.reference, {"metadata": {"annotations": {ANNOTATION: "{"}}})
    with pytest.raises(CanaryError, match="cannot be read"):
        journal_of(rule.find())


def test_a_rollout_lives_as_long_as_its_process_or_its_deadline() -> None:
    mine = Journal.new(ROLLOUT, {"spec": {}, "metadata": {}}, 100.0)
    assert not mine.alive(0)  # this very process would not ask
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        theirs = replace(mine, pid=other.pid, process=process_start(other.pid))
        assert theirs.alive(1000)
        assert not replace(theirs, process="1").alive(0)  # the number was given to another process
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert not theirs.alive(0)  # dead, though not yet waited for
    away = replace(mine, host=f"not-{socket.gethostname()}")
    assert (away.alive(99), away.alive(101)) == (True, False)
