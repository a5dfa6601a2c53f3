"""What rules cost a call as they become many: matches of one check, with and without preselection.

In one process, without a network; `python -m benchmarks.mixer_rules` prints microseconds.
"""

import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.mixer.bag import Recording
from mesh.mixer.selection import Selection
from mesh.rules.expressions import Absent, Expression, compile_expression
from mesh.rules.vocabulary import ATTRIBUTES

COUNTS = (10, 100, 1000)
MATCH = 'destination.service.host == "s{}.weather.svc.cluster.local" && request.path == "/weather"'
VALUES: Mapping[str, Any] = {
    "destination.service.host": "s7.weather.svc.cluster.local",
    "request.path": "/weather",
}
LEAST = 0.2
"""Seconds of one turn; the best of three counts, because other work can only add to it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that matches or not."""

    match: Expression

    def matches(self, bag: Any) -> bool:
        """Whether it is for a call."""
        try:
            return bool(self.match.evaluate(bag))
        except Absent:
            return False


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of a call."""

    rules: int
    every: float
    selected: float


def costs() -> list[Cost]:
    """For each number of rules, of which one is for the call."""
    return [measured(count) for count in COUNTS]


def measured(count: int) -> Cost:
    """One number of rules."""
    rules = [Rule(compile_expression(MATCH.format(index))) for index in range(count)]
    selection = Selection(((rule, rule.match) for rule in rules), ATTRIBUTES)
    return Cost(
        count,
        microseconds(lambda: sum(rule.matches(bag) for bag in (Recording(VALUES),) for rule in rules)),
        microseconds(lambda: len(list(selection.matching(Recording(VALUES))))),
    )


def microseconds(call: Callable[[], int]) -> float:
    """The time of a call, which must find one rule."""
    assert call() == 1
    timer = timeit.Timer(call)
    calls, took = timer.autorange()
    calls = max(1, int(calls * LEAST / took))
    return min(timer.repeat(3, calls)) / calls * 1e6


if __name__ == "__main__":
    for each in costs():
        print(f"{each.rules} rules: {each.every:.1f} us each one, {each.selected:.1f} us selected")
