"""Checks on responses: what holds passes in silence, what does not is shown."""

import pytest

from pytest_mesh import CheckFailed, Response, Responses, all_ok, body_has, header, hosts, status, versions

pytestmark = pytest.mark.behaviour("H2")


def answer(
    version: str = "v1", host: str = "a", code: int = 200, body: str = '{"days": {"n": 5}}'
) -> Response:
    headers = {"x-weather-service": f"forecast {version}", "x-weather-pod": host}
    return Response(0, 5, code, headers, body)


TWO = Responses([answer(), answer("v2", "b")], "forecast")
LOST = Response(0, 1, 0, error="ClientConnectorError: refused")


def test_checks_that_hold_can_be_put_in_a_row() -> None:
    assert TWO.check(all_ok(), status(200), versions("v1", "v2"), hosts(2), body_has("days.n", 5)) is TWO
    TWO.check(header("x-none", None), body_has("days.m", None))


def test_a_check_that_fails_shows_what_came() -> None:
    with pytest.raises(CheckFailed, match=r"1 of 2 responses to forecast are not well.*(?s:.*)refused"):
        Responses([answer(), LOST], "forecast").check(all_ok())
    with pytest.raises(CheckFailed, match=r"versions \['v1'\] were to answer forecast, not \['v1', 'v2'\]"):
        TWO.check(versions("v1"))
    with pytest.raises(CheckFailed, match="3 Pods were to answer forecast"):
        TWO.check(hosts(3))
    with pytest.raises(CheckFailed, match="with header X-Weather-Pod: a"):
        TWO.check(header("X-Weather-Pod", "a"))


def test_no_response_is_no_pass() -> None:
    with pytest.raises(CheckFailed, match="0 of 0"):
        Responses([]).check(all_ok())


def test_responses_are_counted_and_ranked() -> None:
    responses = Responses([answer(), answer(), LOST])
    assert responses.versions == {"v1": 2, "": 1}
    assert responses.statuses == {"200": 2, "ClientConnectorError": 1}
    assert [r.error for r in responses.failed] == [LOST.error]
    assert (responses.percentile(50), responses.percentile(99)) == (5, 5)


def test_a_body_that_is_no_json_is_shown() -> None:
    with pytest.raises(CheckFailed, match="not JSON: 200 after 5 ms: hello"):
        _ = answer(body="hello").json
