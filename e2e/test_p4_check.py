"""P4: an answer's status, words and headers; what rules do to headers; who is asked at all; what is kept."""

import pytest

from e2e.helpers import inbound_requests
from e2e.mixer import Mixer, check, denial, rule
from mesh.platform.mixer import POLICY
from pytest_mesh import all_ok, header, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.pods import Pod

pytestmark = [pytest.mark.behaviour("P4"), pytest.mark.usefixtures("fresh_connections", "steady")]
TO_FORECAST = 'destination.labels["app"] == "forecast"'
TO_ECHO = 'destination.labels["app"] == "echo"'
ECHO = "http://echo.weather/"


@pytest.mark.behaviour("W8")
def test_a_refused_request_never_reaches_the_service(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(denial("nobody", f'{TO_FORECAST} && request.headers["x-no"] == "1"'))
    pods = [weather.pod("forecast", version) for version in ("v1", "v2")]
    before = sum(map(inbound_requests, pods))
    weather.client.get(weather.forecast, headers={"x-no": "1"}, count=10).check(status(403))
    assert sum(map(inbound_requests, pods)) == before
    weather.client.get(weather.forecast, count=4).check(all_ok())
    assert sum(map(inbound_requests, pods)) == before + 4


@pytest.mark.parametrize(
    ("code", "answer", "word"),
    [(7, 403, "PERMISSION_DENIED"), (16, 401, "UNAUTHENTICATED"), (14, 503, "UNAVAILABLE")],
)
def test_the_answer_of_a_denier(weather: Weather, mixer: Mixer, code: int, answer: int, word: str) -> None:
    mixer.apply(denial("no", TO_FORECAST, status={"code": code, "message": "come again"}))
    (refused,) = weather.client.get(weather.forecast).check(status(answer))
    assert refused.body == f"{word}:no.weather:come again"


def test_headers_are_changed_by_rule(weather: Weather, mixer: Mixer, echo: Pod) -> None:
    mixer.apply(weather.rule("mixer/headers"))
    sent = {"x-caller": "somebody else", "x-remove-me": "now", "x-keep": "this"}
    (response,) = weather.client.get(ECHO, headers=sent).check(header("x-checked-by", "istio-policy"))
    arrived = response.json["headers"]
    assert arrived["x-caller"] == "client"
    assert arrived["x-keep"] == "this"
    assert "x-remove-me" not in arrived


def test_what_an_adapter_says_becomes_a_header(weather: Weather, mixer: Mixer, echo: Pod) -> None:
    operation: Obj = {"name": "x-path", "values": ["request.path"], "operation": "APPEND"}
    item = rule("tell-path", TO_ECHO, requestHeaderOperations=[operation])
    mixer.apply(item)
    (response,) = weather.client.get(f"{ECHO}some/path").check(all_ok())
    assert response.json["headers"]["x-path"] == "/some/path"


def test_answers_are_kept_as_long_as_the_adapter_allows(weather: Weather, mixer: Mixer) -> None:
    """The list depends on the caller's labels alone, so one question to the adapter serves many calls."""
    fields: Obj = {"value": 'source.labels["app"] | ""'}
    params: Obj = {"overrides": ["client"], "cachingInterval": "60s"}
    mixer.apply(check("kept", TO_FORECAST, ("listchecker", params), ("listentry", fields)))
    weather.client.get(weather.forecast, count=4).check(all_ok())
    before = mixer.counted(POLICY, "mixer_check_cache_hits_total")
    weather.client.get(weather.forecast, count=20).check(all_ok())
    assert mixer.counted(POLICY, "mixer_check_cache_hits_total") >= before + 20


def test_connections_are_checked_too(weather: Weather, mixer: Mixer, echo: Pod) -> None:
    address = "tcp://echo.weather:90"
    weather.client.send(address, keep_alive=False).check(all_ok())
    mixer.apply(denial("tcp", f'{TO_ECHO} && context.protocol == "tcp"'))
    assert weather.client.send(address, keep_alive=False)[0].error
    weather.client.get(ECHO).check(all_ok())


def test_gateways_ask_too(weather: Weather, mixer: Mixer) -> None:
    match = 'source.labels["istio"] == "ingressgateway" && request.headers["x-no"] == "1"'
    mixer.apply(denial("at-gateway", match, namespace="istio-system"))
    weather.outside.get("/", headers={"x-no": "1"}).check(status(403))
    weather.outside.get("/").check(all_ok())
