"""T10, H4: forecast v2 rolled out under load: a good one promoted, others rolled back, without a trace."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import loadtests
from e2e.mixer import Prometheus
from loadtests.canary.engine import abort
from loadtests.canary.errors import CanaryError
from loadtests.canary.journal import ANNOTATION, Rule
from loadtests.canary.metrics import NoData, ask
from loadtests.canary.rollout import load_text
from loadtests.canary.verdicts import Result
from pytest_mesh import all_ok, versions
from pytest_mesh.demo import Weather
from pytest_mesh.eventually import eventually

pytestmark = pytest.mark.behaviour("T10", "H4")
ROLLOUTS = Path(loadtests.__file__).parent / "rollouts"
Canary = Callable[..., Result]
Obj = dict[str, Any]


@pytest.fixture
def rule(weather: Weather) -> Rule:
    """All requests go to v1."""
    weather.mesh.apply(ROLLOUTS / "rule.yaml")
    return Rule(weather.mesh.api, weather.namespace, "forecast")


def people_s(found: Obj) -> Obj:
    """What people write of a rule."""
    metadata = found["metadata"]
    return {
        "spec": found["spec"],
        "labels": metadata.get("labels"),
        "annotations": metadata.get("annotations"),
    }


@pytest.fixture
def as_it_was(weather: Weather, rule: Rule) -> Iterator[None]:
    """After the test the rule is as before, and only v1 answers."""
    before = people_s(rule.find())
    yield
    assert people_s(rule.find()) == before
    weather.client.get(weather.forecast, count=30).check(versions("v1"))


def test_a_good_version_is_promoted(weather: Weather, rule: Rule, canary: Canary, tmp_path: Path) -> None:
    before = people_s(rule.find())
    result = canary(ROLLOUTS / "good.yaml", report=tmp_path)
    assert (result.verdict, result.exit_code) == ("pass", 0), result.words
    assert [step.verdict for step in result.steps] == ["pass"] * 4
    after = people_s(rule.find())
    assert (after["labels"], after["annotations"]) == (before["labels"], before["annotations"])
    assert "x-canary-side" not in json.dumps(after)
    weather.client.get(weather.forecast, count=30).check(all_ok(), versions("v2"))


@pytest.mark.usefixtures("as_it_was")
def test_a_slow_version_is_rolled_back(weather: Weather, canary: Canary, tmp_path: Path) -> None:
    weather.mesh.apply(ROLLOUTS / "versions" / "v2-slow.yaml")
    result = canary(ROLLOUTS / "slow.yaml", report=tmp_path)
    assert (result.verdict, result.exit_code, result.restored) == ("fail", 1, True), result.words
    assert "p50" in result.words


@pytest.mark.usefixtures("as_it_was")
def test_two_per_cent_of_errors_are_rolled_back(weather: Weather, canary: Canary, tmp_path: Path) -> None:
    weather.mesh.apply(ROLLOUTS / "versions" / "v2-failing.yaml")
    result = canary(ROLLOUTS / "failing.yaml", report=tmp_path)
    assert (result.verdict, result.exit_code, result.restored) == ("fail", 1, True), result.words
    assert "success rate" in result.words


@pytest.mark.usefixtures("as_it_was")
def test_without_traffic_it_is_inconclusive(
    meshctl: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """By the verb, with its exit code and its reports."""
    done = meshctl("canary", "run", "-f", str(ROLLOUTS / "no-traffic.yaml"), "--report", str(tmp_path))
    assert done.returncode == 5, done.stderr
    name = "forecast-v2-no-traffic"
    told = json.loads((tmp_path / f"{name}.json").read_text())
    assert (told["verdict"], told["restored"]) == ("inconclusive", True)
    assert "no data: 0 answers of the canary" in told["words"]
    assert "told no side (http 404" in told["words"]
    suite = ET.parse(tmp_path / f"{name}.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("errors")) == ("2", "2")
    assert "<svg" in (tmp_path / f"{name}.html").read_text()


@pytest.mark.usefixtures("as_it_was")
def test_a_dry_run_changes_nothing(
    rule: Rule, meshctl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    before = rule.find()
    done = meshctl("canary", "run", "-f", str(ROLLOUTS / "good.yaml"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "weight: 50" in done.stdout
    assert rule.find()["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.mark.usefixtures("as_it_was")
def test_a_canary_that_nobody_defines_gets_no_request(rule: Rule, canary: Canary) -> None:
    before = rule.find()
    wrong = load_text((ROLLOUTS / "good.yaml").read_text().replace("subset: v2", "subset: v9"))
    with pytest.raises(
        CanaryError, match="no DestinationRule defines subset 'v9' of host forecast; there are v1, v2"
    ):
        canary(wrong)
    assert rule.find()["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.fixture
def prometheus_url(weather: Weather, prometheus: Prometheus) -> str:
    """A real Prometheus that scrapes the mesh, as this machine reaches it."""
    selector, ports = {"app": "prometheus"}, [{"name": "http", "port": 9090}]
    weather.mesh.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "backends", "name": "prometheus-outside"},
            "spec": {"type": "LoadBalancer", "selector": selector, "ports": ports},
        }
    )
    return weather.mesh.cluster.url_of("backends", "prometheus-outside", 9090)


def asked(url: str, query: str) -> str:
    """What a query gives, or why it gives nothing."""
    try:
        return f"{ask(url, query):g}"
    except NoData as error:
        return str(error)


def test_a_prometheus_is_asked(prometheus_url: str) -> None:
    eventually(lambda: asked(prometheus_url, "vector(7)") == "7", 60)
    eventually(
        lambda: "series: make them one" in asked(prometheus_url, '{__name__=~"up|scrape_duration_seconds"}'),
        60,
    )
    assert "refuses the query 'sum(': invalid parameter" in asked(prometheus_url, "sum(")
    assert "finds no series" in asked(prometheus_url, "nothing_of_the_kind")


@pytest.mark.deep
@pytest.mark.usefixtures("as_it_was")
def test_what_a_prometheus_says_rolls_back(prometheus_url: str, canary: Canary) -> None:
    """A gate on the answer to a query, which is as it should not be; the other gate passes."""
    gate = f"metric: {{prometheus: '{prometheus_url}', query: 'sum(istio_requests_total) > 0', atMost: 0}}"
    text = (ROLLOUTS / "slow.yaml").read_text().replace("atMost: 100ms", "atMost: 9s")
    result = canary(load_text(text.replace("  gates:\n", f"  gates:\n    - {gate}\n")))
    assert (result.verdict, result.exit_code, result.restored) == ("fail", 1, True), result.words
    assert "sum(istio_requests_total) > 0 is " in result.words


@pytest.fixture
def running(weather: Weather, rule: Rule, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A rollout in a process of its own, whose first step is in force: half of the requests go to v2."""
    file = tmp_path / "long.yaml"
    file.write_text((ROLLOUTS / "slow.yaml").read_text().replace("hold: 3s", "hold: 2m"))
    # fmt: off
    command = [
        sys.executable, "-m", "mesh.cli.main", "canary", "run", "-f", str(file),
        "--report", str(tmp_path), "--kubeconfig", str(weather.mesh.cluster.kubeconfig),
    ]
    # fmt: on
    with (tmp_path / "words").open("w+") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, text=True, cwd=tmp_path)
        try:
            eventually(lambda: "sent" in (tmp_path / "words").read_text(), 60)
            assert ANNOTATION in rule.find()["metadata"]["annotations"]
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.mark.deep
@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_rolls_back(running: "subprocess.Popen[str]", number: int, tmp_path: Path) -> None:
    os.kill(running.pid, number)
    assert running.wait(90) == 130, (tmp_path / "words").read_text()
    assert "none of the canary" in (tmp_path / "words").read_text()


@pytest.mark.deep
@pytest.mark.usefixtures("as_it_was")
def test_who_comes_after_a_crash_rolls_back(
    weather: Weather, running: "subprocess.Popen[str]", canary: Canary, rule: Rule
) -> None:
    running.kill()
    running.wait()
    assert ANNOTATION in rule.find()["metadata"]["annotations"]
    result = canary(ROLLOUTS / "no-traffic.yaml")
    assert "an earlier rollout was not ended: putting its rule back" in [text for _, text in result.events]
    assert (result.verdict, result.restored) == ("inconclusive", True)


@pytest.mark.deep
@pytest.mark.usefixtures("as_it_was")
def test_a_running_rollout_is_not_disturbed_and_can_be_aborted(
    weather: Weather,
    running: "subprocess.Popen[str]",
    meshctl: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    second = meshctl("canary", "run", "-f", str(ROLLOUTS / "no-traffic.yaml"), "--report", str(tmp_path))
    assert (second.returncode, "a rollout runs already" in second.stderr) == (4, True), second.stderr
    words: list[str] = []
    assert abort(weather.mesh, "weather", "forecast", words.append)
    assert any("none of the canary" in each for each in words)
    assert running.wait(60) == 4
    assert "aborted from outside" in (tmp_path / "words").read_text()


@pytest.mark.deep
@pytest.mark.usefixtures("as_it_was")
def test_a_deadline_rolls_back(canary: Canary, rule: Rule) -> None:
    text = (ROLLOUTS / "slow.yaml").read_text().replace("deadline: 5m", "deadline: 3s")
    result = canary(load_text(text))
    assert (result.verdict, result.restored) == ("error", True)
    assert "the deadline of the rollout is over" in result.words


@pytest.mark.deep
@pytest.mark.usefixtures("as_it_was")
def test_a_lost_control_plane_rolls_back_when_it_is_there_again(
    weather: Weather, running: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    """Pilot's Deployment has no Pod for a while: the rollout ends, and puts the rule back afterwards."""
    with weather.mesh.undoing():
        pilot = weather.mesh.pod("istio-system", istio="pilot")
        weather.mesh.journal.patch(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"namespace": "istio-system", "name": pilot.item["metadata"]["labels"]["app"]},
            },
            {"spec": {"replicas": 0}},
        )
        eventually(lambda: "rolling back: weight 0" in (tmp_path / "words").read_text(), 60)
    assert running.wait(120) == 4, (tmp_path / "words").read_text()
    assert "the control plane is lost" in (tmp_path / "words").read_text()
