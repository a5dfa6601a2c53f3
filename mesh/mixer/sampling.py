"""Which reports a rule with `sampling` hands on: a share of the requests, or so many in a time.

Source: Istio 1.4, config.istio.io Rule `Sampling`: `random` follows x-request-id unless independent, so that
rules and workloads choose the same requests; `rateLimit` hands on all until a number, then one of several.
"""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from zlib import crc32

from mesh.api.mixer import Sampling
from mesh.rules.expressions import EvaluationError, ExpressionError, compile_expression
from mesh.rules.expressions.durations import duration
from mesh.rules.types import ValueType

DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}
SECOND = timedelta(seconds=1)
Chosen = Callable[[Any], bool]


def chooser(
    sampling: Sampling | None,
    attributes: Mapping[str, ValueType],
    clock: Callable[[], float],
    chance: Callable[[], float] = random.random,
) -> Chosen | None:
    """What says of a bag whether it is handed on; None if all are. `clock` is monotonic, in seconds."""
    if sampling is None or not (sampling.random or sampling.rate_limit):
        return None
    parts = [each for each in (_share(sampling, attributes, chance), _rate(sampling, clock)) if each]
    return lambda bag: all(part(bag) for part in parts)


def _share(
    sampling: Sampling, attributes: Mapping[str, ValueType], chance: Callable[[], float]
) -> Chosen | None:
    if sampling.random is None:
        return None
    given = sampling.random.percent_sampled or {}
    denominator = DENOMINATORS.get(str(given.get("denominator", "HUNDRED")), 100)
    numerator = _numerator(sampling.random.attribute_expression, float(given.get("numerator", 0)), attributes)
    independent = sampling.random.use_independent_randomness

    def chosen(bag: Any) -> bool:
        request = None if independent else bag.entry("request.headers", "x-request-id")
        where = chance() if request is None else crc32(request.encode()) / 2**32
        return where * denominator < numerator(bag)

    return chosen


def _numerator(text: str, usual: float, attributes: Mapping[str, ValueType]) -> Callable[[Any], float]:
    """The share as the rule says it, or as an attribute does; nothing is handed on if that is no number."""
    if not text:
        return lambda _: usual
    try:
        evaluate = compile_expression(text, attributes).evaluate
    except ExpressionError:
        return lambda _: 0.0

    def found(bag: Any) -> float:
        try:
            return float(evaluate(bag))
        except (EvaluationError, TypeError, ValueError):
            return 0.0

    return found


def _rate(sampling: Sampling, clock: Callable[[], float]) -> Chosen | None:
    if sampling.rate_limit is None:
        return None
    given = sampling.rate_limit
    seconds = (duration(given.sampling_duration) or SECOND).total_seconds()
    state = {"until": 0.0, "seen": 0}

    def chosen(_: Any) -> bool:
        now = clock()
        if now >= state["until"]:
            state.update(until=now + seconds, seen=0)
        state["seen"] += 1
        beyond = int(state["seen"]) - given.max_unsampled_entries
        return beyond <= 0 or beyond % max(given.sampling_rate, 1) == 0

    return chosen
