"""P1: what is refused at the door, with position and remedy, and what is only warned of."""

from typing import Any

import pytest

from mesh.api.errors import ConfigError
from mesh.rules.admission import Judgement, judgement, problems_of
from mesh.rules.vocabulary import ATTRIBUTES
from tests.rules.adapters import ADAPTERS, objects
from tests.rules.test_resolve import HEADERS, METRICS, NEWER, OLDER

pytestmark = pytest.mark.behaviour("P1")


def judged(text: str, among: str = "") -> Judgement:
    """The last object of a text beside others."""
    *_, obj = objects(text)
    present = {each.key: each for each in (objects(among) if among else [])}
    return judgement(obj, present, ADAPTERS)


def parts(text: str) -> list[str]:
    return text.split("---")


def test_what_is_right_is_admitted_in_order() -> None:
    for text in (NEWER, OLDER, METRICS):
        before = ""
        for each in parts(text):
            assert judged(each, before) == Judgement()
            before += f"---{each}"


def test_a_rule_before_its_handler_is_refused_with_a_remedy() -> None:
    handler, instance, rule = parts(NEWER)
    found = judged(rule, instance)
    assert found.dangling
    (error,) = found.errors
    assert (error.path, error.message) == (
        "spec.actions[0].handler", "there is no handler deny that can be used",
    )  # fmt: skip
    assert error.remedy == "apply it before the rule"
    assert judged(rule, f"{handler}---{instance}") == Judgement()


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ('request.headers["end-user"]', 'request.hedders["end-user"]', "spec.match",
         "'request.hedders' is not an attribute, at character 44"),
        ('== "jason"', "== 5", "spec.match", "5 is INT64 where STRING is expected, at character 75"),
        ('== "jason"', '== "jason', "spec.match", "has no meaning here"),
        ('request.headers["end-user"] == "jason"', "request.size", "spec.match",
         "request.size is INT64 where BOOL is expected"),
    ],
)  # fmt: skip
def test_a_wrong_match_is_refused_with_its_position(before: str, after: str, path: str, words: str) -> None:
    assert before in NEWER
    (error,) = judged(NEWER.replace(before, after)).errors
    assert error.path == path
    assert words in error.message


def test_values_of_headers_are_checked() -> None:
    (error,) = judged(HEADERS.replace("asked.output.value", "asket.output.value")).errors
    assert error.path == "spec.requestHeaderOperations[0].values[0]"
    (error,) = judged(HEADERS.replace("'\"c\"'", "'response.code'")).errors
    assert "INT64 where STRING" in error.message


def test_template_and_adapter_must_fit() -> None:
    text = NEWER.replace("compiledTemplate: checknothing", "compiledTemplate: reportnothing")
    found = judged(parts(text)[2], text)
    assert not found.dangling
    assert "adapter denier of handler deny.weather does not serve" in found.errors[0].message
    assert found.errors[0].remedy == "it serves checknothing, listentry, quota"


def test_an_attribute_may_be_of_a_manifest() -> None:
    manifest = "kind: attributemanifest\nmetadata: {name: m}\nspec: {attributes: {a.b: {valueType: BOOL}}}"
    instance = "kind: logentry\nmetadata: {name: i}\nspec: {variables: {x: a.b}}"
    assert judged(instance).dangling
    assert judged(instance, manifest) == Judgement()
    wrong = judged(manifest.replace("a.b", "source.ip"))
    assert wrong.errors[0].message == "source.ip is IP_ADDRESS in the standard vocabulary, not BOOL"
    assert "is missing" in judged(manifest.replace("valueType: BOOL", "description: a")).errors[0].message


def test_half_a_change_is_admitted_with_a_warning() -> None:
    instance = METRICS.split("---")[1].replace("code: response.code | 0", "path: request.path | '/'")
    instance = instance.replace("'/'", '"/"')
    found = judged(instance, METRICS)
    assert not found.errors
    assert "handler istio-system/count does not hold: spec.params.labels" in found.warnings[0].message
    handler = METRICS.split("---")[0].replace("[app, code]", "[app, path]")
    assert judged(handler, METRICS).warnings
    rest = METRICS.split("---")
    assert judged(handler, "---".join([instance, rest[0], rest[2]])) == Judgement()


def test_a_binding_needs_its_spec_and_a_spec_its_quota() -> None:
    quota = "kind: quota\nmetadata: {name: q}\nspec: {dimensions: {}}"
    spec = "kind: QuotaSpec\nmetadata: {name: s}\nspec: {rules: [{quotas: [{quota: q.quota, charge: 1}]}]}"
    binding = (
        "kind: QuotaSpecBinding\nmetadata: {name: b}\nspec: {quotaSpecs: [{name: s}], services: [{name: a}]}"
    )
    assert judged(spec).dangling
    assert not judged(spec, quota).errors
    assert judged(binding, quota).dangling
    assert judged(binding, f"{quota}\n---\n{spec}") == Judgement()


SAMPLED = """
kind: rule
metadata: {name: some}
spec:
  actions: [{handler: deny, instances: [any]}]
  sampling: {random: {attributeExpression: "request.idd"}}
"""


def test_sampling_is_checked() -> None:
    for text in (SAMPLED, SAMPLED.replace("request.idd", "request.id")):
        (error,) = problems_of(objects(text)[0], ADAPTERS)
        assert error.path == "spec.sampling.random.attributeExpression"
    assert not problems_of(objects(SAMPLED.replace("request.idd", "request.size"))[0], ADAPTERS)


@pytest.mark.parametrize(
    ("sampling", "path"),
    [
        ("{random: {}}", "random.percentSampled"),
        ("{random: {percentSampled: {numerator: 1.5}}}", "random.percentSampled.numerator"),
        ("{random: {percentSampled: {numerator: 1, denominator: TEN}}}", "random.percentSampled.denominator"),
        ("{random: {percentSampled: {percent: 1}}}", "random.percentSampled.percent"),
        ("{rateLimit: {samplingDuration: soon}}", "rateLimit"),
        ("{rateLimit: {samplingRate: -1}}", "rateLimit.samplingRate"),
    ],
)
def test_shares_and_rates_are_checked(sampling: str, path: str) -> None:
    text = SAMPLED.replace('{random: {attributeExpression: "request.idd"}}', sampling)
    with pytest.raises(ConfigError) as caught:
        objects(text)
    assert [each.path for each in caught.value.problems] == [f"spec.sampling.{path}"]


def test_other_kinds_are_nobodys_business() -> None:
    head = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s}\n"
    (obj,) = objects(head + "spec: {egress: [{hosts: ['./*']}]}")
    assert judgement(obj, {}, ADAPTERS) == Judgement()


def test_the_vocabulary_has_the_types_of_istios_reference() -> None:
    kinds: dict[str, Any] = {
        "source.ip": "IP_ADDRESS", "destination.port": "INT64", "request.query_params": "STRING_MAP",
        "request.auth.claims": "STRING_MAP", "request.time": "TIMESTAMP", "response.duration": "DURATION",
        "connection.mtls": "BOOL", "response.grpc_status": "STRING", "context.reporter.kind": "STRING",
        "check.error_code": "INT64", "quota.cache_hit": "BOOL", "destination.service.host": "STRING",
        "connection.received.bytes_total": "INT64", "origin.ip": "IP_ADDRESS", "request.api_key": "STRING",
    }  # fmt: skip
    assert {name: str(ATTRIBUTES[name]) for name in kinds} == kinds


def test_headers_that_no_call_has_are_told() -> None:
    handler, instance, rule = parts(NEWER)
    found = judged(rule.replace("end-user", "End-User"), f"{handler}---{instance}")
    assert not found.errors
    (warning,) = found.warnings
    assert warning.path == "spec.match"
    assert warning.remedy == 'write request.headers["end-user"]'
    text = "kind: listentry\nmetadata: {name: i}\nspec: {value: 'request.headers[\"X-A\"]'}"
    assert "names of headers are in small letters" in judged(text).warnings[0].message


def test_a_quota_that_nobody_keeps_is_told() -> None:
    quota = "kind: quota\nmetadata: {name: q}\nspec: {dimensions: {}}"
    spec = "kind: QuotaSpec\nmetadata: {name: s}\nspec: {rules: [{quotas: [{quota: q.quota, charge: 1}]}]}"
    rule = "kind: rule\nmetadata: {name: r}\nspec: {actions: [{handler: deny, instances: [q.quota]}]}"
    assert "no rule sends q.quota.weather" in judged(spec, quota).warnings[0].message
    assert judged(spec, "---".join([f"{quota}\n", f"\n{rule}\n", parts(NEWER)[0]])) == Judgement()


def test_header_operations_need_values() -> None:
    with pytest.raises(ConfigError, match="nothing to APPEND"):
        objects(HEADERS.replace('values: [asked.output.value, \'request.headers["x-b"] | "b"\'], ', ""))
