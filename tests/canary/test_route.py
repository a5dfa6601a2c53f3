"""H4, T10: the rule in each step keeps all that the rollout does not need to change."""

import copy
from typing import Any

import pytest

from loadtests.canary.errors import CanaryError
from loadtests.canary.rollout import Rollout, load_text
from loadtests.canary.route import SIDE, at_weight, in_step, promoted
from mesh.api.parse import parse_object
from tests.canary.test_rollout import GOOD

pytestmark = pytest.mark.behaviour("H4", "T10")

RULE: dict[str, Any] = {
    "hosts": ["forecast"],
    "http": [
        {
            "name": "status",
            "match": [{"uri": {"exact": "/status"}}],
            "route": [{"destination": {"host": "status"}}],
        },
        {
            "name": "main",
            "match": [{"uri": {"prefix": "/"}}, {"headers": {"x-a": {"exact": "1"}}}],
            "timeout": "3s",
            "route": [
                {
                    "destination": {"host": "forecast", "port": {"number": 3002}, "subset": "v1"},
                    "headers": {"response": {"set": {"x-mine": "yes"}}},
                }
            ],
        },
    ],
}


def rollout(step: str = "weight: 10") -> Rollout:
    gate = "\n    - metric: {name: errors, atMost: 0}\n  steps:"
    return load_text(GOOD.replace("weight: 10", step).replace("\n  steps:", gate))


def good(spec: dict[str, Any]) -> dict[str, Any]:
    """The mesh takes it; nothing of the original was touched."""
    assert "weight" not in RULE["http"][1]["route"][0]
    parse_object(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "forecast", "namespace": "weather"},
            "spec": spec,
        }
    )
    assert spec["http"][0] == RULE["http"][0]
    return spec


def shares(route: dict[str, Any]) -> dict[str, int]:
    return {each["destination"]["subset"]: each.get("weight", 100) for each in route["route"]}


def test_a_weight() -> None:
    main = good(at_weight(RULE, rollout(), 10))["http"][1]
    assert shares(main) == {"v1": 90, "v2": 10}
    assert {key: main[key] for key in ("name", "match", "timeout")} == {
        key: RULE["http"][1][key] for key in ("name", "match", "timeout")
    }
    one, other = main["route"]
    assert one["headers"]["response"]["set"] == {"x-mine": "yes", SIDE: "baseline"}
    assert other["headers"]["response"]["set"] == {"x-mine": "yes", SIDE: "canary"}
    assert other["destination"]["port"] == {"number": 3002}


def test_a_header_keeps_the_weight_of_before() -> None:
    made = rollout("header: {name: end-user, exact: tester}")
    _, tried, main = good(in_step(RULE, made, made.spec.steps[0], 20))["http"]
    assert shares(tried) == {"v1": 0, "v2": 100}
    assert [each["headers"]["end-user"] for each in tried["match"]] == [{"exact": "tester"}] * 2
    assert tried["match"][1]["headers"]["x-a"] == {"exact": "1"}
    assert shares(main) == {"v1": 80, "v2": 20}


def test_a_mirror_goes_beside_the_traffic() -> None:
    made = rollout("mirror: 30")
    main = good(in_step(RULE, made, made.spec.steps[0], 0))["http"][1]
    assert shares(main) == {"v1": 100, "v2": 0}
    assert main["mirrors"][0]["destination"]["subset"] == "v2"
    assert main["mirrors"][0]["percentage"] == {"value": 30}


def test_promoted_is_without_anything_of_the_rollout() -> None:
    main = good(promoted(RULE, rollout()))["http"][1]
    wanted = copy.deepcopy(RULE["http"][1])
    wanted["route"][0]["destination"]["subset"] = "v2"
    assert main == wanted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"http": []}, "no HTTP route to subset 'v1'"),
        ({"http": [{"route": [{"destination": {"host": "forecast", "subset": "v3"}}]}]}, "no HTTP route"),
        (
            {
                "http": [
                    {
                        "route": [
                            {"destination": {"host": "forecast", "subset": "v1"}, "weight": 50},
                            {"destination": {"host": "forecast", "subset": "v3"}, "weight": 50},
                        ]
                    }
                ]
            },
            "splits to forecast v3 too",
        ),
    ],
)
def test_rules_that_cannot_be_rolled_out_on(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CanaryError, match=words):
        at_weight({**RULE, **change}, rollout(), 10)
