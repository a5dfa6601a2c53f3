"""Stretches of a load as the generator would have told them."""

from loadtests.canary.gates import Measured
from loadtests.canary.route import BASELINE, CANARY
from loadtests.openloop.account import Account
from loadtests.openloop.latency import Latency
from loadtests.openloop.lines import UNKNOWN, Labelled


def labelled(good: int, failed: int = 0, seconds: float = 0.01) -> Labelled:
    """Answers whose times are spread evenly up to twice `seconds`."""
    times, every = Latency(), Latency()
    for number in range(good + failed):
        each = seconds * (2 * (number + 0.5) / (good + failed))
        every.record(each)
        if number < good:
            times.record(each)
    failures = {"http 500": failed} if failed else {}
    text, whole = times.encode(), every.encode()
    return Labelled(
        count=good + failed,
        failures=failures,
        response=whole,
        service=whole,
        response_good=text,
        service_good=text,
    )


def measured(
    canary: Labelled | None, baseline: Labelled | None = None, unknown: Labelled | None = None, **account: int
) -> Measured:
    """A stretch of ten seconds."""
    named = {CANARY: canary, BASELINE: baseline, UNKNOWN: unknown}
    sides = {name: side for name, side in named.items() if side is not None}
    total = sum(side.count for side in sides.values())
    counted = Account(**{"scheduled": total, "sent": total, "done": total, **account})
    return Measured(counted, sides, before_at=0.0, after_at=10.0, seconds=10.0)
