"""What may be concluded from counts: bounds that hold with a stated probability, whatever the truth is.

All bounds are one-sided: with probability 1 - `alpha` or more the truth lies on their inner side. Rates:
Clopper and Pearson (exact, Biometrika 26, 1934). Differences of rates: Newcombe's method 10 (Statistics in
Medicine 17, 1998), with Clopper-Pearson's bounds in the place of Wilson's, so that it errs to the safe side.
Percentiles: order statistics, by the binomial distribution, without any assumption on the latencies' form.
"""

import math
from collections.abc import Callable
from functools import lru_cache

TINY = 1e-300
STEPS = 300


def binomial_at_most(successes: int, total: int, rate: float) -> float:
    """The probability of at most so many successes in `total` tries at `rate` (0 to 1)."""
    if successes < 0:
        return 0.0
    if successes >= total or rate <= 0:
        return 1.0
    return 0.0 if rate >= 1 else incomplete_beta(total - successes, successes + 1, 1 - rate)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, STEPS + int(4 * math.sqrt(a + b))):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _off_zero(1 + term * d)
            c = _off_zero(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-13:
            break
    return math.exp(log_front) * fraction / a


@lru_cache(maxsize=4096)
def rate_bounds(successes: int, total: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of a rate, each wrong with probability `alpha` at most; (0, 1) without data."""
    if total == 0:
        return 0.0, 1.0
    # P(X >= successes | rate) = alpha gives the lower, P(X <= successes | rate) = alpha the upper one.
    low = _solve(lambda rate: 1 - binomial_at_most(successes - 1, total, rate) > alpha) if successes else 0.0
    high = _solve(lambda rate: binomial_at_most(successes, total, rate) < alpha) if successes < total else 1.0
    return low, high


def difference_bounds(one: tuple[int, int], other: tuple[int, int], alpha: float) -> tuple[float, float]:
    """Bounds of rate(one) - rate(other), each (successes, total); (-1, 1) if one has no data."""
    if not one[1] or not other[1]:
        return -1.0, 1.0
    p, q = one[0] / one[1], other[0] / other[1]
    (p_low, p_high), (q_low, q_high) = rate_bounds(*one, alpha), rate_bounds(*other, alpha)
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return max(-1.0, low), min(1.0, high)


def percentile_ranks(total: int, percent: float, alpha: float) -> tuple[int | None, int | None]:
    """The ranks (from 1) of the order statistics that bound a percentile; None where none does.

    The value of the lower rank exceeds the true percentile with probability `alpha` at most, that of the
    upper one lies below it with `alpha` at most. 99 % certainty of a p99 takes 459 requests at least.
    """
    share = percent / 100
    low = _largest(total, lambda rank: binomial_at_most(rank - 1, total, share) <= alpha)
    high = _largest(total, lambda rank: binomial_at_most(rank - 1, total, share) < 1 - alpha) + 1
    return (low or None), (high if high <= total else None)


def needed_for_rate(least: float, alpha: float) -> int:
    """Requests, all of them good, after which a success rate of `least` or more is certain."""
    return math.ceil(math.log(alpha) / math.log(least)) if 0 < least < 1 else 0


def needed_for_percentile(percent: float, alpha: float) -> int:
    """Requests below which not even the slowest bounds a percentile from above."""
    return needed_for_rate(percent / 100, alpha)


def needed_for_difference(margin: float, baseline_per_canary: float, alpha: float) -> int:
    """Requests to the canary, all good on both sides, that show it less than `margin` worse."""
    total = 1
    while total < 10_000_000:
        other = max(1, int(total * baseline_per_canary))
        if difference_bounds((total, total), (other, other), alpha)[0] >= -margin:
            return total
        total = math.ceil(total * 1.02) + 1
    return total


def _solve(beyond: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2


def _largest(total: int, holds: Callable[[int], bool]) -> int:
    """The largest rank of 1..total for which a falling condition holds, 0 if for none."""
    low, high = 0, total
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _off_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
