"""H4: a rollout file is read strictly: every fault at once, each with its line and what would be right."""

from pathlib import Path

import pytest
import yaml

from loadtests.canary.plan import plan
from loadtests.canary.rollout import Rollout, load_file, load_text
from mesh.api.errors import ConfigError

pytestmark = pytest.mark.behaviour("H4")
DEMOS = Path(__file__).parents[2] / "loadtests" / "rollouts"
NAMES = ("good", "slow", "failing", "no-traffic")

GOOD = """\
apiVersion: canary.meshwright.io/v1alpha1
kind: Rollout
metadata:
  name: it
  namespace: weather
spec:
  virtualService: forecast
  baseline: {subset: v1}
  canary: {subset: v2}
  load:
    schedule: constant:100
  hold: 10s
  gates:
    - successRate: {atLeast: 0.99, margin: 0.01}
  steps:
    - weight: 10
    - weight: 50
      hold: 1m
"""
LIMITS, STEPS = "{atLeast: 0.99, margin: 0.01}", "\n  steps:\n    - weight: "


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "it.yaml")
    return str(caught.value)


def test_defaults_and_what_a_step_says_itself() -> None:
    rollout = load_text(GOOD)
    first, second = rollout.spec.steps
    assert (rollout.name, rollout.namespace) == ("it", "weather")
    assert (rollout.hold_of(first), rollout.hold_of(second)) == (10, 60)
    assert rollout.warm_up_of(first) == 2
    assert rollout.alpha_of(first) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("weight: 10", "weight: 101", 16, "spec.steps[0].weight"),
        ("weight: 10", "wieght: 10", 16, "did you mean weight?"),
        ("hold: 10s", "hold: 10", 12, "write a number and a unit"),
        ("constant:100", "constant:0", 11, "no rate above 0"),
        ("v1alpha1", "v2", 1, "write apiVersion: canary.meshwright.io/v1alpha1"),
        ("kind: Rollout", "kind: Rollup", 2, "write kind: Rollout"),
        ("{subset: v2}", "{subset: v1}", 9, "is the baseline itself"),
        ("atLeast: 0.99, margin: 0.01", "atLeast: 1", 14, "no number of requests shows a rate of 1"),
        ("{atLeast: 0.99, margin: 0.01}", "{}", 14, "has no limit"),
        ("- weight: 10", "- mirror: 10", 16, "answers to mirrored requests are thrown away"),
        ("- weight: 10", "- weight: 10\n      mirror: 10", 16, "must be one of weight, header"),
        (f"{LIMITS}{STEPS}10", f"{{belowBaseline: 0.1}}{STEPS}100", 16, "at 100 there is no baseline"),
        ("virtualService: forecast", "virtualService: [a]", 7, "put the value in quotes"),
        ("name: it", "name: ../it", 4, "lower case letters, digits, '-' and '.' only"),
        ("constant:100", "constant:100\n    path: weather", 12, "write path: /weather"),
        ("constant:100", "constant:100\n    url: localhost:80", 12, "write url: http://HOST:PORT/PATH"),
        (
            f"successRate: {LIMITS}",
            "metric: {prometheus: 'localhost:9090', query: up, atMost: 1}",
            14,
            "write prometheus: http://HOST:9090",
        ),
    ],
)  # fmt: skip
def test_faults_have_their_line(old: str, new: str, line: int, words: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    told = refused(text)
    assert f"it.yaml:{line}" in told
    assert words in told


def test_all_faults_are_told_at_once() -> None:
    told = refused(
        GOOD.replace("weight: 10", "weight: 101").replace("hold: 10s", "hold: x").replace("v1}", "v2}")
    )
    assert len(told.splitlines()) == 3


@pytest.mark.parametrize(
    "text", ["", "a: b: c", "[]", "apiVersion: x", f"{GOOD}---\n{GOOD}", "kind: Rollout\nmetadata: 3"]
)
def test_what_is_no_rollout_is_refused_with_words(text: str) -> None:
    assert refused(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_file(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_the_demos_are_good(name: str) -> None:
    rollout = load_file(DEMOS / f"{name}.yaml")
    assert rollout.name == f"forecast-v2-{name}"
    assert all(step.enough for step in plan(rollout)) == (name != "no-traffic")


def test_a_rollout_survives_its_journal() -> None:
    rollout = load_text(GOOD)
    again = load_text(yaml.safe_dump(rollout.value))
    assert again.spec == rollout.spec


def planned(rollout: Rollout) -> list[tuple[float, int, bool]]:
    return [(round(step.canary), step.needed, step.enough) for step in plan(rollout)]


def test_a_plan_says_what_is_needed() -> None:
    """A rate of 98 % takes ln 0.05 / ln 0.98 = 149 good requests; 10 % of 1,000 do not bring them."""
    assert planned(load_text(GOOD)) == [(100, 149, False), (3000, 149, True)]
    ramp = load_text(GOOD.replace("constant:100", "ramp:0.001,200"))
    assert planned(ramp)[0][0] == pytest.approx(117, abs=2)  # of 12 s without the first two


def test_prolonging_costs_certainty() -> None:
    text = GOOD.replace("  hold: 10s\n", "  hold: 10s\n  judgement: {inconclusive: 1}\n")
    assert planned(load_text(text))[0] == (100, 183, False)
