"""P3: QuotaSpecs and their bindings: which services' requests take how much of which quota."""

from typing import Any

import pytest

from mesh.mixer.bag import Bag
from mesh.rules.resolve import QuotaRule, Ruleset
from tests.rules.adapters import ruleset

pytestmark = pytest.mark.behaviour("P3")
INSTANCES = """
kind: instance
metadata: {name: requests}
spec: {compiledTemplate: quota, params: {dimensions: {source: 'source.labels["app"] | "unknown"'}}}
---
kind: quota
metadata: {name: older, namespace: istio-system}
spec: {dimensions: {}}
---
kind: QuotaSpec
metadata: {name: one}
spec: {rules: [{quotas: [{quota: requests, charge: 2}, {quota: older.quota.istio-system}]}]}
---
kind: QuotaSpecBinding
metadata: {name: one}
spec: {quotaSpecs: [{name: one}], services: [SERVICE]}
"""
FORECAST = "forecast.weather.svc.cluster.local"


def bound(service: str, rules: str = "") -> Ruleset:
    text = INSTANCES.replace("SERVICE", service)
    return ruleset(text.replace("rules: [{quotas", f"rules: [{{{rules}quotas"))


def taken(found: Ruleset, service: str = FORECAST, namespace: str = "weather") -> list[tuple[str, int]]:
    return [(rule.quota, rule.charge) for rule in found.quotas.for_destination(service, namespace)]


BOTH = [("requests.instance.weather", 2), ("older.quota.istio-system", 1)]


@pytest.mark.parametrize(
    ("service", "others"),
    [
        ("{name: forecast}", False),
        ("{name: forecast, namespace: weather}", False),
        ("{service: forecast.weather.svc.cluster.local}", False),
        ("{service: '*.weather.svc.cluster.local'}", False),
        ("{name: '*'}", False),
        ("{service: '*'}", True),
    ],
)
def test_services_are_bound(service: str, others: bool) -> None:
    found = bound(service)
    assert not found.problems
    assert taken(found) == BOTH
    assert taken(found, "a.other.svc.cluster.local", "other") == (BOTH if others else [])


def test_what_is_bound_to_a_whole_namespace_holds_where_the_service_is_not_known() -> None:
    assert taken(bound("{name: '*'}"), "", "weather") == BOTH
    assert taken(bound("{name: '*'}"), "", "other") == []
    assert taken(bound("{name: forecast}"), "", "weather") == []


def test_a_service_that_is_bound_twice_pays_once() -> None:
    assert taken(bound("{name: forecast}, {service: '*'}")) == BOTH


def test_a_domain_of_its_own() -> None:
    assert taken(bound("{name: forecast, domain: example.com}"), "forecast.weather.example.com") == BOTH


@pytest.mark.parametrize(
    ("match", "values", "holds"),
    [
        ("", {}, True),
        ("{request.path: {prefix: /weather}}", {"request.path": "/weather/a"}, True),
        ("{request.path: {prefix: /weather}}", {"request.path": "/other"}, False),
        ("{request.path: {exact: /a}, request.method: {exact: GET}}", {"request.path": "/a"}, False),
        ("{request.path: {exact: /a}, request.method: {exact: GET}}",
         {"request.path": "/a", "request.method": "GET"}, True),
        ("{request.path: {exact: /a}}}, {clause: {request.path: {exact: /b}}", {"request.path": "/b"}, True),
        ("{request.path: {regex: /.}}", {"request.path": "/a"}, True),
        ("{request.path: {regex: /.}}", {"request.path": "/ab"}, False),
        ("{response.code: {exact: '200'}}", {"response.code": 200}, True),
        ("{'request.headers[x-a]': {exact: b}}", {"request.headers": {"x-a": "b"}}, True),
        ("{'request.headers[x-a]': {exact: b}}", {}, False),
    ],
)  # fmt: skip
def test_clauses_choose_requests(match: str, values: dict[str, Any], holds: bool) -> None:
    found = bound("{name: forecast}", f"match: [{{clause: {match}}}], " if match else "")
    rule: QuotaRule = found.quotas.for_destination(FORECAST, "weather")[0]
    assert rule.matches(Bag(values)) is holds


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ("quota: requests,", "quota: request,", "spec.rules[0].quotas[0].quota", "did you mean requests"),
        ("quotaSpecs: [{name: one}]", "quotaSpecs: [{name: two}]", "spec.quotaSpecs[0]",
         "there is no QuotaSpec weather/two"),
        ("{compiledTemplate: quota, params: {dim", "{compiledTemplate: metric, params: {value: 1, dim",
         "spec.rules[0].quotas[0].quota", "of template metric, not of quota"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_told(before: str, after: str, path: str, words: str) -> None:
    text = INSTANCES.replace("SERVICE", "{name: forecast}")
    assert before in text
    found = ruleset(text.replace(before, after))
    assert path in [each.path for each in found.problems]
    assert any(words in str(each) for each in found.problems), found.problems
    assert not found.quotas
