"""Gates held against what was measured: three answers, and the figures behind each.

A gate passes if the limit is kept with the wanted certainty, fails if it is broken with that certainty, and
is inconclusive between. Failures that told no side may be anybody's: a gate must pass with them, and fail
without them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from loadtests.canary import metrics, statistics
from loadtests.canary.rollout import Gate, Latency, Metric, Rollout, Step, SuccessRate
from loadtests.canary.route import BASELINE, CANARY
from loadtests.canary.verdicts import Finding, Verdict
from loadtests.openloop import latency
from loadtests.openloop.account import Account
from loadtests.openloop.lines import UNKNOWN, Labelled, together

Limits = TypeVar("Limits", SuccessRate, Latency)


@dataclass
class Measured:
    """A stretch of a step: what the generator did, and what each side answered; `seconds` long.

    `before` and `after`: the mesh's metrics at its ends, scraped at these Unix times.
    """

    account: Account = field(default_factory=Account)
    sides: dict[str, Labelled] = field(default_factory=dict)
    before: metrics.Samples = field(default_factory=dict)
    after: metrics.Samples = field(default_factory=dict)
    before_at: float = 0.0
    after_at: float = 0.0
    seconds: float = 0.0

    def add(self, account: Account, sides: Mapping[str, Labelled], seconds: float) -> None:
        """A window more."""
        self.account = self.account + account
        self.sides = together(self.sides, sides)
        self.seconds += seconds

    def counts(self, side: str) -> tuple[int, int]:
        """Good answers, and all of them."""
        found = self.sides.get(side)
        return (found.count - found.failed, found.count) if found else (0, 0)

    def good_times(self, side: str) -> latency.Latency:
        """Response times of good answers."""
        found = self.sides.get(side)
        return latency.Latency(found.response_good) if found else latency.Latency()

    @property
    def lost(self) -> int:
        """Failures that told no side."""
        return self.sides[UNKNOWN].failed if UNKNOWN in self.sides else 0


def judge(rollout: Rollout, step: Step, measured: Measured) -> tuple[Finding, ...]:
    """What all gates say. Where the generator could not keep up, only that is said."""
    generator = judge_generator(rollout, measured)
    if generator.verdict is not Verdict.PASS:
        return (generator,)
    alpha = rollout.alpha_of(step)
    found = [generator]
    for gate in rollout.spec.gates:
        if gate.metric:
            found.append(judge_metric(gate.title, gate.metric, measured))
        elif step.mirror is None:  # answers to mirrored requests never arrive
            found += _judge_traffic(rollout, gate, measured, alpha, alone=step.weight == 100)
    return tuple(found)


def judge_generator(rollout: Rollout, measured: Measured) -> Finding:
    """Whether the load was the one that was asked for."""
    wanted, account = rollout.spec.judgement, measured.account
    sent, late = account.sent_share, account.late_share or 0.0
    if sent is None:
        return Finding("load", Verdict.INCONCLUSIVE, "no data: no request was due")
    words = f"{account.sent} of {account.scheduled} sent ({sent:.1%}), {account.late} late ({late:.1%})"
    if sent < wanted.sent_share:
        short = f"; less than {wanted.sent_share:.0%}: the generator or the mesh is overloaded"
        return Finding("load", Verdict.INCONCLUSIVE, words + short)
    if late > wanted.late_share:
        short = f"; more than {wanted.late_share:.0%} late: the generator is overloaded"
        return Finding("load", Verdict.INCONCLUSIVE, words + short)
    return Finding("load", Verdict.PASS, words)


def _judge_traffic(
    rollout: Rollout, gate: Gate, measured: Measured, alpha: float, *, alone: bool
) -> Iterator[Finding]:
    """With the canary `alone` there is no baseline to compare with: the absolute limits hold."""
    count, least = measured.counts(CANARY)[1], rollout.spec.judgement.minimum_requests
    if count < least:
        words = f"no data: {count} answers of the canary, at least {least} are needed{_untold(measured)}"
        yield Finding(gate.title, Verdict.INCONCLUSIVE, words)
    elif gate.success_rate:
        yield from judge_rate(gate.title, _absolute(gate.success_rate, alone=alone), measured, alpha)
    elif gate.latency:
        yield from judge_latency(gate.title, _absolute(gate.latency, alone=alone), measured, alpha)


def _untold(measured: Measured) -> str:
    """What there is in the place of answers that tell their side."""
    found = measured.sides.get(UNKNOWN)
    if found is None or not found.count:
        return ""
    kinds = sorted(found.failures.items(), key=lambda each: -each[1])[:3]
    words = f" ({', '.join(f'{kind}: {count}' for kind, count in kinds)})" if kinds else ""
    return f"; {found.count} told no side{words}: do path and headers of spec.load lead to this rule?"


def _absolute(gate: Limits, *, alone: bool) -> Limits:
    relative = [name for name in ("below_baseline", "times_baseline") if name in type(gate).model_fields]
    return gate.model_copy(update=dict.fromkeys(relative)) if alone else gate


def judge_rate(title: str, gate: SuccessRate, measured: Measured, alpha: float) -> Iterator[Finding]:
    """Against the absolute limit, and against the baseline in the same window."""
    good, total = measured.counts(CANARY)
    lost = measured.lost
    told = f"{good} of {total} good ({good / total:.2%})" + (
        f", {lost} failures of unknown side" if lost else ""
    )
    if gate.at_least is not None:
        low = statistics.rate_bounds(good, total + lost, alpha)[0]
        high = statistics.rate_bounds(good, total, alpha)[1]
        least = gate.at_least - gate.margin
        words = f"{told}; between {low:.2%} and {high:.2%}; wanted {gate.at_least:.2%}" + _margin(gate.margin)
        yield Finding(title, _verdict(passed=low >= least, failed=high < gate.at_least), words)
    if gate.below_baseline is not None:
        yield _against_baseline(title, gate.below_baseline, measured, alpha, told)


def _margin(margin: float) -> str:
    return f", or up to {margin:.2%} less" if margin else ""


def _against_baseline(title: str, margin: float, measured: Measured, alpha: float, told: str) -> Finding:
    title = f"{title} against baseline"
    base, (good, total), lost = measured.counts(BASELINE), measured.counts(CANARY), measured.lost
    if not base[1]:
        return Finding(title, Verdict.INCONCLUSIVE, "no data: no answer of the baseline")
    low = statistics.difference_bounds((good, total + lost), base, alpha)[0]
    high = statistics.difference_bounds((good, total), (base[0], base[1] + lost), alpha)[1]
    words = (
        f"{told}, baseline {base[0]} of {base[1]} ({base[0] / base[1]:.2%}); "
        f"difference between {low:+.2%} and {high:+.2%}; at most {margin:.2%} worse is wanted"
    )
    return Finding(title, _verdict(passed=low >= -margin, failed=high < 0), words)


def judge_latency(title: str, gate: Latency, measured: Measured, alpha: float) -> Iterator[Finding]:
    """Against the absolute limit, and against the baseline in the same window."""
    times = measured.good_times(CANARY)
    if not times.count:
        yield Finding(title, Verdict.INCONCLUSIVE, "no data: no good answer of the canary")
        return
    low, high = percentile_bounds(times, gate.percentile, alpha)
    told = f"p{gate.percentile:g} {_ms(times.percentile(gate.percentile))} ({_ms(low)} to {_ms(high)})"
    if gate.at_most is not None:
        verdict = _verdict(
            passed=high is not None and high <= gate.at_most, failed=low is not None and low > gate.at_most
        )
        yield Finding(title, verdict, f"{told}; wanted at most {_ms(gate.at_most)}")
    if gate.times_baseline is not None:
        base = measured.good_times(BASELINE)
        yield _slower(f"{title} against baseline", gate, gate.times_baseline, (low, high), told, base, alpha)


def _slower(
    title: str,
    gate: Latency,
    factor: float,
    mine: tuple[float | None, float | None],
    told: str,
    base: latency.Latency,
    alpha: float,
) -> Finding:
    if not base.count:
        return Finding(title, Verdict.INCONCLUSIVE, "no data: no good answer of the baseline")
    low, high = percentile_bounds(base, gate.percentile, alpha)
    passed = mine[1] is not None and low is not None and mine[1] <= low * factor + gate.plus
    failed = mine[0] is not None and high is not None and mine[0] > high * factor + gate.plus
    words = (
        f"{told}, baseline {_ms(base.percentile(gate.percentile))} ({_ms(low)} to {_ms(high)}); "
        f"wanted at most {factor:g} times that and {_ms(gate.plus)}"
    )
    return Finding(title, _verdict(passed=passed, failed=failed), words)


def percentile_bounds(
    times: latency.Latency, percent: float, alpha: float
) -> tuple[float | None, float | None]:
    """Bounds of a percentile in seconds, by order statistics; None where there are too few answers."""
    ranks = statistics.percentile_ranks(times.count, percent, alpha)
    low, high = (None if rank is None else times.percentile(100 * rank / times.count) for rank in ranks)
    return low, high


def judge_metric(title: str, gate: Metric, measured: Measured) -> Finding:
    """A figure of the mesh against its limits."""
    what = gate.query or f"{gate.form} of {gate.name}"
    seconds = measured.after_at - measured.before_at
    try:
        value = metrics.value_of(gate, measured.before, measured.after, seconds)
    except metrics.NoData as error:
        return Finding(title, Verdict.INCONCLUSIVE, f"no data: {error}")
    low = gate.at_least is not None and value < gate.at_least
    high = gate.at_most is not None and value > gate.at_most
    limits = [
        f"{words} {limit:g}"
        for words, limit in (("at least", gate.at_least), ("at most", gate.at_most))
        if limit is not None
    ]
    words = f"{what} is {value:g}; wanted {' and '.join(limits)}"
    return Finding(title, Verdict.FAIL if low or high else Verdict.PASS, words)


def _verdict(*, passed: bool, failed: bool) -> Verdict:
    """With a margin both may hold: certainly worse, and certainly within what is tolerated."""
    return Verdict.PASS if passed else Verdict.FAIL if failed else Verdict.INCONCLUSIVE


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.4g} ms"
