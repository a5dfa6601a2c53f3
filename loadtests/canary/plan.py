"""What a rollout will do, and whether its load is enough for the certainty it wants; nothing is touched."""

import math
from dataclasses import dataclass, field

from loadtests.canary import statistics
from loadtests.canary.rollout import Gate, Rollout, Step
from loadtests.openloop.schedule import parsed


@dataclass(frozen=True, slots=True)
class Planned:
    """One step; counts are those that are judged.

    `canary` is what one hold brings, `longest` what comes if it is prolonged as often as may be. Without
    `needed` no gate can pass, were all of them good.
    """

    title: str
    seconds: float
    judged: bool = True
    looks: int = 0
    requests: float = 0.0
    canary: float = 0.0
    longest: float = 0.0
    needed: int = 0
    reasons: tuple[str, ...] = field(default_factory=tuple)

    @property
    def enough(self) -> bool:
        """Whether that is to be expected, two standard deviations of chance allowed for."""
        return not self.judged or self.longest - 2 * math.sqrt(self.longest) >= self.needed


def plan(rollout: Rollout) -> list[Planned]:
    """All steps in order."""
    found, weight = [], 0
    for step in rollout.spec.steps:
        weight = step.weight if step.weight is not None else weight
        found.append(_step(rollout, step, weight))
    return found


def _step(rollout: Rollout, step: Step, weight: int) -> Planned:
    if step.pause is not None:
        return Planned(step.title, step.pause, judged=False)
    warm_up, hold = rollout.warm_up_of(step), rollout.hold_of(step)
    requests = expected(rollout.spec.load.schedule, warm_up, warm_up + hold)
    share = 0.0 if step.mirror else (1 + weight / 100) / 2 if step.header else weight / 100
    reasons = (
        []
        if step.mirror
        else [each for gate in rollout.spec.gates for each in _needs(rollout, step, gate, share)]
    )
    needed = max((number for number, _ in reasons), default=0)
    words = tuple(dict.fromkeys(f"{number} for {reason}" for number, reason in reasons))
    return Planned(
        step.title,
        warm_up + hold,
        True,
        rollout.looks_of(step),
        requests,
        requests * share,
        requests * share * (1 + rollout.spec.judgement.inconclusive),
        needed,
        words,
    )


def _needs(rollout: Rollout, step: Step, gate: Gate, share: float) -> list[tuple[int, str]]:
    alpha = rollout.alpha_of(step)
    found = [(rollout.spec.judgement.minimum_requests, "minimumRequests")] if not gate.metric else []
    if gate.success_rate and gate.success_rate.at_least is not None:
        least = gate.success_rate.at_least - gate.success_rate.margin
        found.append((statistics.needed_for_rate(least, alpha), f"{gate.title} of {least:.2%}"))
    if gate.success_rate and gate.success_rate.below_baseline is not None and 0 < share < 1:
        margin = gate.success_rate.below_baseline
        needed = statistics.needed_for_difference(margin, max(1 - share, 0.0) / share, alpha)
        found.append((needed, f"{gate.title} at most {margin:.2%} below the baseline"))
    if gate.latency:
        percent = gate.latency.percentile
        found.append((statistics.needed_for_percentile(percent, alpha), f"a bound of p{percent:g}"))
    return found


def expected(schedule: str, start: float, end: float) -> float:
    """How many requests a schedule of `end` seconds has due from `start` on, on average."""
    kind, _, rest = schedule.partition(":")
    rates = [float(rate) for rate in rest.split(",")]
    if kind in ("constant", "poisson"):
        return rates[0] * (end - start)
    return float(sum(1 for due in parsed(schedule, end) if due >= start))
