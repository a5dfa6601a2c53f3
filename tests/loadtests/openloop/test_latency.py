"""Latencies, lines and accounts: what goes out comes in again, and adds up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.openloop.account import Account
from loadtests.openloop.latency import HIGHEST, MICRO, Latency, merged
from loadtests.openloop.lines import Ended, Labelled, NoLineError, Started, Window, read, together
from loadtests.openloop.tally import Tally

pytestmark = pytest.mark.behaviour("H4")

TIMES = st.lists(st.floats(0, 100), min_size=1, max_size=40)


def latency(*seconds: float) -> Latency:
    made = Latency()
    for each in seconds:
        made.record(each)
    return made


def test_nothing_is_none_and_never_zero() -> None:
    empty = Latency()
    assert empty.count == 0
    assert empty.percentile(50) is empty.mean is empty.longest is None
    assert Account().sent_share is Account().late_share is None


@settings(max_examples=30, deadline=None)
@given(TIMES)
def test_encoded_and_back(times: list[float]) -> None:
    one = latency(*times)
    other = Latency(one.encode())
    assert other.count == one.count
    assert [other.percentile(each) for each in (0, 50, 99, 100)] == [
        one.percentile(each) for each in (0, 50, 99, 100)
    ]


@settings(max_examples=30, deadline=None)
@given(TIMES)
def test_the_percentile_is_the_one_of_the_sorted_list_to_three_digits(times: list[float]) -> None:
    median = sorted(times)[(len(times) + 1) // 2 - 1]
    assert latency(*times).percentile(50) == pytest.approx(median, rel=0.002, abs=2e-6)


@settings(max_examples=30, deadline=None)
@given(TIMES, TIMES)
def test_merged_is_as_if_recorded_together(one: list[float], two: list[float]) -> None:
    both = merged((latency(*one), latency(*two)))
    assert both.encode() == latency(*one, *two).encode()


def test_above() -> None:
    assert latency(0.1, 0.2, 0.3, 0.3, 2).above(0.2) == 3
    assert latency(0.1).above(0.1) == 0


def test_what_is_too_long_counts_as_the_longest() -> None:
    assert latency(1e9).percentile(50) == pytest.approx(HIGHEST / MICRO, rel=0.002)


@pytest.mark.parametrize("text", ["", "nonsense", "HISTFAAAAAB", "é"])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no HDR histogram"):
        Latency(text)


def a_window() -> Window:
    tally = Tally()
    for failure in ("", "http 503", "timeout", "http 503"):
        tally.due()
        tally.sent()
        tally.done("v1", failure, response=0.5, service=0.25)
    tally.due()
    tally.dropped()
    part = tally.take()
    return Window(start=10.0, end=11.0, account=part.account, labels=part.lines())


def test_a_window_and_back() -> None:
    line = read(a_window().text())
    assert isinstance(line, Window)
    assert line == a_window()
    assert line.account == Account(scheduled=5, sent=4, dropped=1, done=4, failed=3)
    assert line.account.sent_share == pytest.approx(0.8)
    v1 = line.labels["v1"]
    assert (v1.count, v1.failed, v1.failures) == (4, 3, {"http 503": 2, "timeout": 1})
    assert v1.response_time.percentile(50) == pytest.approx(0.5, rel=0.002)
    assert v1.service_time.percentile(50) == pytest.approx(0.25, rel=0.002)
    assert Latency(v1.service_good).count == 1


def test_windows_add_up() -> None:
    one = a_window().labels
    both = together(together(one, one), {"v2": one["v1"]})
    assert both["v2"] == one["v1"]
    assert both["v1"].count == 8
    assert both["v1"].failures == {"http 503": 4, "timeout": 2}
    assert both["v1"].response_time.count == 8


def test_the_whole_is_what_the_windows_come_to() -> None:
    tally = Tally()
    accounts = []
    for _ in range(3):
        tally.due()
        tally.sent()
        tally.late()
        tally.done("", "", response=1, service=1)
        accounts.append(tally.take().account)
    assert sum(accounts, Account()) == tally.whole.account
    assert tally.whole.overall().response.count == 3
    assert tally.under_way == 0


def test_first_and_last_lines() -> None:
    started = Started(target="http://a/", schedule="constant:1", start=1.0, seconds=None, limit=5, pid=7)
    ended = Ended(reason="stopped", start=1.0, end=2.0, account=Account())
    assert read(started.text()) == started
    assert read(ended.text()) == ended


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind": "other"}', '{"kind": "window", "start": 1}'])
def test_what_is_no_line_is_told(text: str) -> None:
    with pytest.raises(NoLineError, match="no line of the open-loop generator"):
        read(text)


def test_labelled_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="extra"):
        Labelled(response="", service="", response_good="", service_good="", more=1)  # type: ignore[call-arg]
