"""The four services, running for real and calling one another on loopback."""

import re
import signal

import pytest

from tests.weather.conftest import Running, Start

pytestmark = pytest.mark.behaviour("W9")
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def frontend(start: Start) -> Running:
    recommendation = start("recommendation")
    forecast = start("forecast", VERSION="v2", POD_NAME="fc-2", RECOMMENDATION_URL=recommendation.url)
    ads = start("advertisement")
    return start("frontend", POD_NAME="fe-1", FORECAST_URL=forecast.url, ADVERTISEMENT_URL=ads.url)


def test_the_answer_names_everybody_who_took_part(frontend: Running) -> None:
    content = frontend.get("/api/weather?city=Rome").json()
    assert content["frontend"] == {"service": "frontend", "version": "v1", "host": "fe-1"}
    assert (content["forecast"]["version"], content["forecast"]["host"]) == ("v2", "fc-2")
    assert content["forecast"]["recommendation"]["service"] == "recommendation"
    assert content["advertisement"]["text"]
    assert len(content["forecast"]["days"]) == 5
    assert content["errors"] == []


def test_the_page_shows_forecast_version_and_pods_and_needs_nothing_from_elsewhere(frontend: Running) -> None:
    response = frontend.get("/?city=Rome")
    assert response.headers["content-type"].startswith("text/html")
    for expected in ("<h1>Rome</h1>", 'badge v2">v2', "fe-1", "fc-2", "Today", 'class="advice"'):
        assert expected in response.text
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*"?((?:https?:)?//[^"\s)]+)', response.text)
    assert links == []


def test_what_comes_from_a_request_is_escaped(frontend: Running) -> None:
    text = frontend.get("/", params={"city": "<script>alert(1)</script>"}).text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_version_1_asks_for_no_recommendation(start: Start) -> None:
    forecast = start("forecast", VERSION="v1", RECOMMENDATION_URL=NOWHERE)
    assert "recommendation" not in forecast.get("/weather").json()


def test_version_2_answers_without_the_recommendation_that_it_cannot_get(start: Start) -> None:
    forecast = start("forecast", VERSION="v2", RECOMMENDATION_URL=NOWHERE)
    response = forecast.get("/weather")
    assert response.status_code == 200
    assert "cannot be asked" in response.json()["recommendation"]["error"]


def test_frontend_without_forecast_is_a_bad_gateway_with_the_reason(start: Start) -> None:
    frontend = start("frontend", FORECAST_URL=NOWHERE, ADVERTISEMENT_URL=NOWHERE)
    response = frontend.get("/api/weather")
    assert response.status_code == 502
    assert [error.split()[0] for error in response.json()["errors"]] == ["forecast", "advertisement"]
    assert "No forecast just now" in frontend.get("/").text


def test_trace_and_user_headers_are_handed_on_and_others_are_not(start: Start, echo: Running) -> None:
    frontend = start("frontend", FORECAST_URL=echo.url, ADVERTISEMENT_URL=echo.url)
    sent = {
        "x-request-id": "r1",
        "b3": "t-s-1",
        "traceparent": "00-x",
        "end-user": "tester",
        "x-private": "no",
    }
    seen = frontend.get("/api/weather", headers=sent).json()["forecast"]["headers"]
    assert {name: seen.get(name) for name in sent} == {**sent, "x-private": None}


def test_every_answer_carries_version_and_pod(start: Start) -> None:
    headers = start("advertisement", VERSION="v7", POD_NAME="ad-1").get("/ads").headers
    assert (headers["x-weather-service"], headers["x-weather-pod"]) == ("advertisement v7", "ad-1")


def test_health_can_be_taken_away_and_given_back(start: Start) -> None:
    forecast = start("forecast")
    assert forecast.get("/healthz").status_code == 200
    assert forecast.post("/mood", {"healthy": False}).status_code == 200
    assert forecast.get("/healthz").status_code == 503
    assert forecast.get("/weather").status_code == 200
    forecast.post("/mood", {"healthy": True})
    assert forecast.get("/healthz").status_code == 200
    assert forecast.post("/mood", "nonsense").status_code == 400
    assert forecast.post("/mood", {"haste": 3}).status_code == 400


def test_faults_that_were_asked_for(start: Start) -> None:
    bad = start("forecast", ERROR_RATE="1", DELAY_SECONDS="0.2")
    answer = bad.get("/weather")
    assert (answer.status_code, answer.elapsed.total_seconds() >= 0.2) == (500, True)
    assert bad.get("/healthz").status_code == 200
    bad.post("/mood", {"error_rate": 0})
    assert bad.get("/weather").status_code == 200


def test_sigterm_ends_a_service_in_order(start: Start) -> None:
    forecast = start("forecast", DRAIN_SECONDS="0.1")
    forecast.process.send_signal(signal.SIGTERM)
    assert forecast.process.wait(timeout=20) == 0
