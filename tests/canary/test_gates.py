"""H4: what gates say of what was measured; no data is never a pass and never zero."""

import pytest

from loadtests.canary.gates import judge
from loadtests.canary.metrics import parsed
from loadtests.canary.rollout import Rollout, load_text
from loadtests.canary.verdicts import Verdict, worst
from tests.canary.measured import labelled, measured
from tests.canary.test_rollout import GOOD

pytestmark = pytest.mark.behaviour("H4")
GATE = "- successRate: {atLeast: 0.99, margin: 0.01}"


def rollout(gate: str) -> Rollout:
    return load_text(GOOD.replace(GATE, f"- {gate}"))


def verdict(gate: str, *args: object, **account: int) -> Verdict:
    one = rollout(gate)
    stretch = measured(*args, **account)  # type: ignore[arg-type]
    return worst(each.verdict for each in judge(one, one.spec.steps[0], stretch))


RATE = "successRate: {atLeast: 0.99, margin: 0.01}"
RELATIVE = "successRate: {belowBaseline: 0.02}"
P50 = "latency: {percentile: 50, atMost: 100ms}"
P99 = "latency: {percentile: 99, atMost: 100ms}"
SLOWER = "latency: {percentile: 50, timesBaseline: 2, plus: 5ms}"


@pytest.mark.parametrize(
    ("gate", "canary", "baseline", "wanted"),
    [
        (RATE, labelled(200), None, Verdict.PASS),
        (RATE, labelled(100), None, Verdict.INCONCLUSIVE),  # 149 would be needed
        (RATE, labelled(180, 20), None, Verdict.FAIL),
        (RELATIVE, labelled(300), labelled(300), Verdict.PASS),
        (RELATIVE, labelled(270, 30), labelled(300), Verdict.FAIL),
        (RELATIVE, labelled(270, 30), labelled(270, 30), Verdict.INCONCLUSIVE),
        (RELATIVE, labelled(5700, 300), labelled(5700, 300), Verdict.PASS),  # both are bad alike
        (RELATIVE, labelled(300), None, Verdict.INCONCLUSIVE),
        (P50, labelled(50, seconds=0.02), None, Verdict.PASS),
        (P50, labelled(50, seconds=0.5), None, Verdict.FAIL),
        (P50, labelled(50, seconds=0.1), None, Verdict.INCONCLUSIVE),
        (P99, labelled(298, seconds=0.01), None, Verdict.INCONCLUSIVE),  # 299 would be needed
        (P99, labelled(299, seconds=0.01), None, Verdict.PASS),
        (SLOWER, labelled(200, seconds=0.011), labelled(200, seconds=0.01), Verdict.PASS),
        (SLOWER, labelled(200, seconds=0.05), labelled(200, seconds=0.01), Verdict.FAIL),
        (SLOWER, labelled(200, seconds=0.05), None, Verdict.INCONCLUSIVE),
        (P50, labelled(0, 50), None, Verdict.INCONCLUSIVE),  # no good answer has no latency
    ],
)
def test_verdicts(gate: str, canary: object, baseline: object, wanted: Verdict) -> None:
    assert verdict(gate, canary, baseline) is wanted


@pytest.mark.parametrize("gate", [RATE, RELATIVE, P50, P99, SLOWER])
def test_no_data_is_inconclusive(gate: str) -> None:
    assert verdict(gate, None) is Verdict.INCONCLUSIVE
    assert verdict(gate, None, labelled(500)) is Verdict.INCONCLUSIVE
    assert verdict(gate, labelled(19), labelled(500)) is Verdict.INCONCLUSIVE


def test_an_overloaded_generator_is_inconclusive_whatever_the_gates_would_say() -> None:
    good, bad = labelled(300), labelled(100, 200)
    for canary in (good, bad):
        assert verdict(RATE, canary, scheduled=310, sent=300, dropped=10) is Verdict.INCONCLUSIVE
        assert verdict(RATE, canary, late=30) is Verdict.INCONCLUSIVE
    assert verdict(RATE, good, scheduled=303, sent=300, dropped=3) is Verdict.PASS


def test_all_late_is_no_more_than_all() -> None:
    """One that was due before the stretch has left in it."""
    one = load_text(GOOD.replace("hold: 10s", "hold: 10s\n  judgement: {lateShare: 1}"))
    found = judge(one, one.spec.steps[0], measured(labelled(300), late=301))
    assert worst(each.verdict for each in found) is Verdict.PASS
    assert "301 late (100.0%)" in found[0].words


def test_failures_of_unknown_side_prevent_a_pass_and_prove_nothing() -> None:
    assert verdict(RATE, labelled(200), None, labelled(0, 30)) is Verdict.INCONCLUSIVE
    assert verdict(RELATIVE, labelled(300), labelled(300), labelled(0, 60)) is Verdict.INCONCLUSIVE
    assert verdict(RATE, labelled(180, 20), None, labelled(0, 30)) is Verdict.FAIL


METRIC = "metric: {name: requests_total, as: FORM, where: {code: '5..'}, of: {code: '...'}, atMost: 0.02}"


@pytest.mark.parametrize(
    ("form", "before", "after", "wanted"),
    [
        ("ratio", "", 'requests_total{code="200"} 100', Verdict.PASS),  # no 5xx has happened yet
        ("ratio", "", 'requests_total{code="200"} 90\nrequests_total{code="500"} 10', Verdict.FAIL),
        ("ratio", 'requests_total{code="200"} 9', 'requests_total{code="200"} 9', Verdict.INCONCLUSIVE),
        ("ratio", "", "", Verdict.INCONCLUSIVE),
        ("increase", "", 'requests_total{code="200"} 9', Verdict.INCONCLUSIVE),
        ("increase", 'requests_total{code="500"} 9', 'requests_total{code="500"} 9', Verdict.PASS),
        ("rate", 'requests_total{code="500"} 9', 'requests_total{code="500"} 10', Verdict.FAIL),
        ("value", "", 'requests_total{code="500"} NaN', Verdict.INCONCLUSIVE),
        ("value", "", 'requests_total{code="500"} 0.01', Verdict.PASS),
    ],
)
def test_metrics(form: str, before: str, after: str, wanted: Verdict) -> None:
    one = rollout(METRIC.replace("FORM", form))
    stretch = measured(labelled(50))
    stretch.before, stretch.after = parsed(before), parsed(after)
    assert worst(each.verdict for each in judge(one, one.spec.steps[0], stretch)) is wanted


TOTAL = "requests_total{code='200', version='v2'} 9".replace("'", '"')
UNKNOWN = [
    ("{name: request_total, atMost: 1}", "no metric request_total; did you mean requests_total?"),
    ("{name: requests_total, where: {version: v3}, atMost: 1}", "label version is 'v2' in those"),
    (
        "{name: requests_total, as: ratio, where: {cod: '5..'}, of: {version: v2}, atMost: 1}",
        "has a label cod",
    ),
    ("{name: requests_total, as: ratio, of: {version: v3}, atMost: 1}", "label version is 'v2' in those"),
    ("{name: requests_total, as: quantile, atMost: 1}", "no metric requests_total_bucket"),
]


@pytest.mark.parametrize(("gate", "words"), UNKNOWN)
def test_what_is_not_there_is_named(gate: str, words: str) -> None:
    one = rollout(f"metric: {gate}")
    stretch = measured(labelled(50))
    stretch.after = parsed(TOTAL)
    found = judge(one, one.spec.steps[0], stretch)[-1]
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words in found.words


def test_a_rate_counts_the_time_between_its_scrapes() -> None:
    one = rollout("metric: {name: requests_total, as: rate, atMost: 0.91, atLeast: 0.89}")
    stretch = measured(labelled(50))  # ten seconds
    stretch.before, stretch.after = parsed(TOTAL.replace("9", "0")), parsed(TOTAL)
    assert judge(one, one.spec.steps[0], stretch)[-1].verdict is Verdict.PASS


def test_a_quantile_of_a_histogram() -> None:
    one = rollout("metric: {name: d, as: quantile, quantile: 0.5, atMost: 15}")
    stretch = measured(labelled(50))
    stretch.after = parsed(
        'd_bucket{le="10"} 10\nd_bucket{le="20"} 30\nd_bucket{le="+Inf"} 40\n# TYPE d histogram'
    )
    found = judge(one, one.spec.steps[0], stretch)[-1]
    assert (found.verdict, "is 15;" in found.words) == (Verdict.PASS, True)


def test_a_counter_that_was_reset_counts_from_zero() -> None:
    one = rollout("metric: {name: c, as: increase, atLeast: 5, atMost: 5}")
    stretch = measured(labelled(50))
    stretch.before, stretch.after = parsed("c 100"), parsed("c 5")
    assert judge(one, one.spec.steps[0], stretch)[-1].verdict is Verdict.PASS


def test_nothing_looked_at_is_inconclusive() -> None:
    assert worst([]) is Verdict.INCONCLUSIVE
