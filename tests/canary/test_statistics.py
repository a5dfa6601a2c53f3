"""H4: bounds hold as often as they say, by exact counting and by simulation with a fixed seed."""

import math
import random

import pytest

from loadtests.canary.statistics import (
    binomial_at_most,
    difference_bounds,
    incomplete_beta,
    needed_for_difference,
    needed_for_percentile,
    needed_for_rate,
    percentile_ranks,
    rate_bounds,
)

pytestmark = pytest.mark.behaviour("H4")


def naive_at_most(successes: int, total: int, rate: float) -> float:
    return math.fsum(
        math.comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(min(successes, total) + 1)
    )


@pytest.mark.parametrize("total", [1, 7, 50, 400])
def test_the_binomial_distribution_is_the_summed_one(total: int) -> None:
    for rate in (0.001, 0.02, 0.5, 0.97, 0.999):
        for successes in range(0, total + 1, max(1, total // 20)):
            right = naive_at_most(successes, total, rate)
            assert binomial_at_most(successes, total, rate) == pytest.approx(right, abs=1e-9)


def test_the_ends_of_the_distribution() -> None:
    assert binomial_at_most(-1, 5, 0.3) == 0
    assert binomial_at_most(5, 5, 0.3) == 1
    assert (binomial_at_most(3, 5, 0.0), binomial_at_most(3, 5, 1.0)) == (1, 0)
    assert (incomplete_beta(2, 3, 0), incomplete_beta(2, 3, 1)) == (0, 1)
    # large counts keep their digits: the median of a binomial lies at its mean
    assert binomial_at_most(50_000, 100_000, 0.5) == pytest.approx(0.5 + 0.5 * 0.00252313, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98, 0.999])
def test_bounds_of_a_rate_are_wrong_at_most_so_often(rate: float, alpha: float) -> None:
    """Exactly: the probability of all outcomes whose bound lies beyond the truth."""
    total = 120
    low_wrong = high_wrong = 0.0
    for good in range(total + 1):
        chance = math.comb(total, good) * rate**good * (1 - rate) ** (total - good)
        low, high = rate_bounds(good, total, alpha)
        low_wrong += chance * (low > rate)
        high_wrong += chance * (high < rate)
    assert low_wrong <= alpha * (1 + 1e-6)
    assert high_wrong <= alpha * (1 + 1e-6)


def test_no_data_bounds_nothing() -> None:
    assert rate_bounds(0, 0, 0.05) == (0, 1)
    assert difference_bounds((0, 0), (10, 10), 0.05) == (-1, 1)
    assert percentile_ranks(0, 99, 0.05) == (None, None)


@pytest.mark.parametrize(("one", "other"), [(0.98, 0.99), (0.995, 0.995), (0.5, 0.52)])
def test_bounds_of_a_difference_are_wrong_at_most_so_often(one: float, other: float) -> None:
    """All outcomes of 40 and 60 tries, weighed exactly; Newcombe's method is approximate, so 1.2 alpha."""
    n, m, alpha = 40, 60, 0.05
    low_wrong = high_wrong = 0.0
    for a in range(n + 1):
        p = math.comb(n, a) * one**a * (1 - one) ** (n - a)
        for b in range(m + 1):
            chance = p * math.comb(m, b) * other**b * (1 - other) ** (m - b)
            if chance > 1e-7:
                low, high = difference_bounds((a, n), (b, m), alpha)
                low_wrong += chance * (low > one - other)
                high_wrong += chance * (high < one - other)
    assert max(low_wrong, high_wrong) <= 1.2 * alpha


@pytest.mark.parametrize(("percent", "total"), [(50, 40), (90, 100), (99, 700)])
def test_bounds_of_a_percentile_are_wrong_at_most_so_often(percent: float, total: int) -> None:
    """1,500 samples of a skewed distribution: alpha 0.05 is exceeded by 5 standard deviations at most."""
    alpha, runs, chance = 0.05, 1500, random.Random(5)
    low, high = percentile_ranks(total, percent, alpha)
    assert low is not None
    assert high is not None
    truth = -math.log(1 - percent / 100)  # of the exponential distribution
    low_wrong = high_wrong = 0
    for _ in range(runs):
        sample = sorted(chance.expovariate(1) for _ in range(total))
        low_wrong += sample[low - 1] > truth
        high_wrong += sample[high - 1] < truth
    allowed = runs * alpha + 5 * math.sqrt(runs * alpha * (1 - alpha))
    assert max(low_wrong, high_wrong) <= allowed


def test_ranks_are_the_tightest() -> None:
    low, high = percentile_ranks(1000, 99, 0.01)
    assert low is not None
    assert high is not None
    assert binomial_at_most(low - 1, 1000, 0.99) <= 0.01 < binomial_at_most(low, 1000, 0.99)
    assert binomial_at_most(high - 1, 1000, 0.99) >= 0.99 > binomial_at_most(high - 2, 1000, 0.99)


def test_what_is_needed_is_just_enough() -> None:
    assert needed_for_percentile(99, 0.01) == 459
    assert percentile_ranks(459, 99, 0.01)[1] == 459
    assert percentile_ranks(458, 99, 0.01)[1] is None
    needed = needed_for_rate(0.99, 0.05)
    assert rate_bounds(needed, needed, 0.05)[0] >= 0.99 > rate_bounds(needed - 1, needed - 1, 0.05)[0]
    canary = needed_for_difference(0.02, 9, 0.05)
    assert difference_bounds((canary, canary), (9 * canary, 9 * canary), 0.05)[0] >= -0.02
