"""P1: instances of every template, made from attributes; absent ones; what is wrong with parameters."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh.mixer.bag import Bag
from mesh.rules.builder import Builder, ParametersError, instance_builder
from mesh.rules.expressions import Absent
from mesh.rules.templates import TEMPLATES, Variety
from mesh.rules.types import ValueType as V
from mesh.rules.vocabulary import ATTRIBUTES

pytestmark = pytest.mark.behaviour("P1")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "source.labels": {"app": "frontend"},
    "source.principal": "cluster.local/ns/weather/sa/frontend",
    "source.ip": bytes([10, 0, 0, 1]),
    "request.headers": {"x-b3-traceid": "abc"},
    "request.path": "/weather",
    "request.time": NOON,
    "response.time": NOON + timedelta(seconds=1),
    "response.code": 200,
    "response.duration": timedelta(seconds=1),
    "request.api_key": "secret",
}


def builder(name: str, params: dict[str, Any]) -> Builder:
    return instance_builder(TEMPLATES[name], params, ATTRIBUTES)


def made(name: str, params: dict[str, Any]) -> Any:
    found = builder(name, params).build(Bag(VALUES), f"it.{name}.weather")
    assert (found.name, found.template) == (f"it.{name}.weather", name)
    return found.values


def test_the_templates_and_when_they_are_made() -> None:
    assert {name: each.variety for name, each in TEMPLATES.items()} == {
        "checknothing": Variety.CHECK, "listentry": Variety.CHECK, "authorization": Variety.CHECK,
        "apikey": Variety.CHECK, "quota": Variety.QUOTA, "metric": Variety.REPORT,
        "logentry": Variety.REPORT, "tracespan": Variety.REPORT, "reportnothing": Variety.REPORT,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "params", "values"),
    [
        ("checknothing", {}, {}),
        ("reportnothing", {}, {}),
        ("listentry", {"value": 'source.labels["app"]'}, {"value": "frontend"}),
        ("quota", {"dimensions": {"source": 'source.labels["app"]', "code": "response.code", "n": 5}},
         {"dimensions": {"source": "frontend", "code": 200, "n": 5}}),
        ("quota", {}, {}),
        ("metric", {"value": "response.duration", "dimensions": {"path": "request.path"},
                    "monitored_resource_type": '"UNSPECIFIED"'},
         {"value": timedelta(seconds=1), "dimensions": {"path": "/weather"},
          "monitored_resource_type": "UNSPECIFIED"}),
        ("metric", {"value": True}, {"value": True}),
        ("logentry", {"severity": '"info"', "timestamp": "request.time",
                      "variables": {"latency": 'response.duration | "0ms"', "user": "source.user"},
                      "monitoredResourceDimensions": {"a": "1.5"}},
         {"severity": "info", "timestamp": NOON, "variables": {"latency": timedelta(seconds=1)},
          "monitored_resource_dimensions": {"a": 1.5}}),
        ("authorization", {"subject": {"user": "source.principal", "groups": "source.user",
                                       "properties": {"app": 'source.labels["app"]'}},
                           "action": {"path": "request.path", "method": "request.method"}},
         {"subject": {"user": "cluster.local/ns/weather/sa/frontend", "properties": {"app": "frontend"}},
          "action": {"path": "/weather"}}),
        ("apikey", {"apiKey": "request.api_key", "api_operation": "request.path",
                    "timestamp": "request.time"},
         {"api_key": "secret", "api_operation": "/weather", "timestamp": NOON}),
        ("tracespan", {"traceId": 'request.headers["x-b3-traceid"]', "spanName": 'request.path | "/"',
                       "startTime": "request.time", "end_time": "response.time", "clientSpan": "false",
                       "httpStatusCode": "response.code", "sourceIp": "source.ip",
                       "spanTags": {"http.method": "request.method", "http.url": "request.path"}},
         {"trace_id": "abc", "span_name": "/weather", "start_time": NOON,
          "end_time": NOON + timedelta(seconds=1), "client_span": False, "http_status_code": 200,
          "source_ip": bytes([10, 0, 0, 1]), "span_tags": {"http.url": "/weather"}}),
    ],
)  # fmt: skip
def test_instances_of_each_template(name: str, params: dict[str, Any], values: dict[str, Any]) -> None:
    assert made(name, params) == values


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("listentry", {"value": "source.user"}),
        ("quota", {"dimensions": {"user": "source.user", "path": "request.path"}}),
        ("metric", {"value": "1", "dimensions": {"user": "source.user"}}),
        ("metric", {"value": "request.size"}),
        ("apikey", {"apiKey": "request.referer"}),
    ],
)
def test_what_must_be_there_fails_the_instance(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(Absent):
        made(name, params)


def test_a_builder_knows_types_and_references() -> None:
    found = builder(
        "authorization",
        {"subject": {"user": "source.principal", "properties": {"v": 'request.headers["x-v"]', "n": "1"}}},
    )
    assert found.types == {"subject": {"user": V.STRING, "properties.v": V.STRING, "properties.n": V.INT64}}
    assert found.references == {"source.principal", "request.headers"}
    assert found.headers == {("request.headers", "x-v")}
    user = found.expression("subject", "user")
    assert user is not None and user.text == "source.principal"
    assert found.expression("action", "path") is None


@pytest.mark.parametrize(
    ("name", "params", "path", "words"),
    [
        ("listentry", {}, "value", "is missing"),
        ("apikey", {"apiKey": "response.code"}, "apiKey", "INT64 where STRING is expected, at character 1"),
        ("listentry", {"value": ""}, "value", "is ''"),
        ("listentry", {"value": None}, "value", "is None"),
        ("listentry", {"value": ["a"]}, "value", "is ['a']"),
        ("metric", {"value": "1", "dimension": {}}, "dimension", "did you mean dimensions"),
        ("metric", {"value": "1", "dimensions": ["a"]}, "dimensions", "write a mapping"),
        ("metric", {"value": "1", "dimensions": {"a": "sorce.ip"}}, "dimensions.a", "did you mean source.ip"),
        ("authorization", {"subject": {"usr": "source.user"}}, "subject.usr", "did you mean user"),
        ("authorization", {"subject": "source.user"}, "subject", "write a mapping"),
        ("tracespan", {"startTime": '"now"'}, "startTime", "STRING where TIMESTAMP"),
        ("logentry", {"severity": "info"}, "severity", "'info' is not an attribute"),
        ("tracespan", {"spanTags": {}, "span_tags": {}}, "span_tags", "stands twice"),
        ("checknothing", {"value": "a"}, "value", "this template has no fields"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(name: str, params: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ParametersError) as caught:
        builder(name, params)
    said = {each.path: f"{each.message}; {each.remedy}" for each in caught.value.faults}
    assert words in said[path]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ParametersError) as caught:
        builder("metric", {"value": "(", "dimensions": {"a": "b", "c": "1 +"}, "wrong": "1"})
    assert [each.path for each in caught.value.faults] == ["value", "dimensions.a", "dimensions.c", "wrong"]
