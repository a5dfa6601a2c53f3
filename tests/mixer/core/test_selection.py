"""Rules that are passed over are those that would not match, and refer to the same attributes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mesh.mixer.bag import Recording
from mesh.mixer.selection import FEWEST, Selection
from mesh.rules.expressions import Absent, Expression, compile_expression
from mesh.rules.vocabulary import ATTRIBUTES

pytestmark = pytest.mark.behaviour("P1")

PARTS = (
    'destination.service.host == "{}"',
    '"{}" == source.namespace',
    'destination.labels["app"] == "{}"',
    'request.headers["x"] == "{}"',
    'request.headers["x"] == ""',
    'request.headers["x"] != "{}"',
    "destination.port == {}",
    '(source.namespace | "none") == "{}"',
    'request.method == "{}" || destination.port == {}',
    "true",
)
VALUES = ("1", "2", "3")


@dataclass
class Rule:
    """A match that counts how often it is evaluated."""

    match: Expression | None
    times: int = 0

    def matches(self, bag: Any) -> bool:
        self.times += 1
        try:
            return self.match is None or bool(self.match.evaluate(bag))
        except Absent:
            return False


def rule(text: str) -> Rule:
    return Rule(compile_expression(text) if text else None)


def selection(rules: list[Rule]) -> Selection[Rule]:
    return Selection(((each, each.match) for each in rules), ATTRIBUTES)


def texts(chosen: random.Random, count: int) -> Iterator[str]:
    """Random matches, chains of some parts."""
    for _ in range(count):
        parts = [part.replace("{}", chosen.choice(VALUES)) for part in chosen.choices(PARTS, k=3)]
        yield " && ".join(f"({part})" for part in parts[: chosen.randint(0, 3)])


def values(chosen: random.Random) -> dict[str, Any]:
    """A random call, of which some attributes are absent."""
    text = ("", *VALUES, "other")
    every: dict[str, Any] = {
        "destination.service.host": chosen.choice(text),
        "source.namespace": chosen.choice(text),
        "destination.labels": {"app": chosen.choice(text)} if chosen.random() < 0.7 else {},
        "request.headers": {"x": chosen.choice(text)} if chosen.random() < 0.7 else {},
        "destination.port": chosen.randint(1, 4),
        "request.method": chosen.choice(text),
    }
    return {name: each for name, each in every.items() if chosen.random() < 0.7}


@pytest.mark.parametrize("seed", range(20))
def test_the_same_rules_match_and_the_same_attributes_are_referred_to(seed: int) -> None:
    chosen = random.Random(seed)
    rules = [rule(text) for text in texts(chosen, chosen.randint(FEWEST - 2, 40))]
    selected = selection(rules)
    for _ in range(60):
        call, most = values(chosen), chosen.randint(1, 20)
        one, other = Recording(call), Recording(call)
        passed = [each for _, each in zip(range(most), selected.matching(one), strict=False)]
        every = (each for each in rules if each.matches(other))
        assert [each for _, each in zip(range(most), every, strict=False)] == passed
        assert one.references == other.references


def test_rules_for_others_are_not_evaluated() -> None:
    rules = [rule(f'destination.service.host == "{index}" && request.path == "/"') for index in range(100)]
    selected = selection(rules)
    found = list(selected.matching(Recording({"destination.service.host": "7", "request.path": "/"})))
    assert found == [rules[7]]
    assert sum(each.times for each in rules) == 1


def test_calls_without_end_that_differ_keep_a_bounded_number_of_plans() -> None:
    rules = [rule(f"destination.port == {index}") for index in range(1, 1000)]
    selected = selection(rules)
    for port in range(3000):
        assert len(list(selected.matching(Recording({"destination.port": port})))) == (0 < port < 1000)
    assert len(selected._plans) <= 256
