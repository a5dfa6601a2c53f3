"""P1: handlers, instances and rules put together: newer and older forms, names, scopes, problems."""

import pytest

from mesh.mixer.bag import Bag
from mesh.rules.resolve import Ruleset, resolve
from mesh.rules.types import ValueType
from tests.rules.adapters import ADAPTERS, Denier, ruleset

pytestmark = pytest.mark.behaviour("P1")
NEWER = """
kind: handler
metadata: {name: deny}
spec: {compiledAdapter: denier, params: {status: {code: 5, message: gone}, validDuration: 1m}}
---
kind: instance
metadata: {name: any}
spec: {compiledTemplate: checknothing}
---
kind: rule
metadata: {name: never}
spec:
  match: destination.labels["app"] == "forecast" && request.headers["end-user"] == "jason"
  actions: [{handler: deny, instances: [any]}]
"""
OLDER = """
kind: denier
metadata: {name: deny}
spec: {status: {code: 5, message: gone}, validDuration: 1m}
---
kind: checknothing
metadata: {name: any}
---
kind: rule
metadata: {name: never}
spec:
  match: destination.labels["app"] == "forecast" && request.headers["end-user"] == "jason"
  actions: [{handler: deny.denier, instances: [any.checknothing]}]
"""
METRICS = """
kind: handler
metadata: {name: count, namespace: istio-system}
spec: {compiledAdapter: counter, params: {labels: [app, code]}}
---
kind: instance
metadata: {name: requests, namespace: istio-system}
spec:
  compiledTemplate: metric
  params: {value: 1, dimensions: {app: 'source.labels["app"] | "unknown"', code: response.code | 0}}
---
kind: rule
metadata: {name: counted, namespace: istio-system}
spec: {actions: [{handler: count, instances: [requests]}]}
"""


def told(found: Ruleset) -> list[str]:
    return [str(each) for each in found.problems]


def test_newer_and_older_forms_mean_the_same() -> None:
    newer, older = ruleset(NEWER), ruleset(OLDER)
    assert not newer.problems and not older.problems, told(older)
    assert list(newer.handlers) == ["deny.weather"] and list(older.handlers) == ["deny.denier.weather"]
    assert list(newer.instances) == ["any.instance.weather"]
    assert list(older.instances) == ["any.checknothing.weather"]
    for found in (newer, older):
        (rule,) = found.rules
        (action,) = rule.actions
        handler = found.handlers[action.handler]
        assert handler.adapter is Denier
        assert handler.params == Denier.Params.model_validate(
            {"status": {"code": 5, "message": "gone"}, "validDuration": "60s"}
        )
        assert found.instances[action.instances[0]].template.name == "checknothing"
    assert newer.rules[0].match == older.rules[0].match


@pytest.mark.parametrize(
    ("handler", "instance"),
    [("deny", "any"), ("deny.weather", "any.weather"), ("deny.handler", "any.instance"),
     ("deny.handler.weather", "any.instance.weather")],
)  # fmt: skip
def test_all_ways_to_name_an_object(handler: str, instance: str) -> None:
    found = ruleset(NEWER.replace("handler: deny,", f"handler: {handler},").replace("[any]", f"[{instance}]"))
    assert [each.handler for each in found.rules[0].actions] == ["deny.weather"], told(found)


def test_a_name_is_of_its_own_namespace_unless_it_says_so() -> None:
    rule = NEWER.replace("{name: never}", "{name: never, namespace: other}")
    found = ruleset(rule)
    assert not found.rules
    assert [each.path for each in found.problems] == [
        "spec.actions[0].handler",
        "spec.actions[0].instances[0]",
    ]
    assert "did you mean" in found.problems[0].remedy or "there are deny.weather" in found.problems[0].remedy
    far = rule.replace("handler: deny,", "handler: deny.weather,").replace("[any]", "[any.weather]")
    assert not ruleset(far).problems


def test_rules_of_the_root_namespace_are_for_all_others_for_their_own() -> None:
    found = ruleset(f"{NEWER}\n---\n{METRICS}")
    of = found.scope("istio-system")
    assert [rule.key.name for rule in of("weather")] == ["counted", "never"]
    assert [rule.key.name for rule in of("other")] == ["counted"]


def test_what_rules_refer_to_is_known_before_any_call() -> None:
    found = ruleset(f"{NEWER}\n---\n{METRICS}")
    assert found.headers() == found.headers("CHECK") == found.headers("checknothing") == {"end-user"}
    assert found.headers("REPORT") == frozenset()
    assert found.headers("metric", attribute="source.labels") == {"app"}
    assert found.handlers["count.istio-system"].types == {
        "requests.instance.istio-system": {
            "value": ValueType.INT64,
            "dimensions": {"app": ValueType.STRING, "code": ValueType.INT64},
        }
    }


HEADERS = """
kind: rule
metadata: {name: headers}
spec:
  actions: [{handler: deny, instances: [any], name: asked}]
  requestHeaderOperations:
    - {name: x-a, values: [asked.output.value, 'request.headers["x-b"] | "b"'], operation: APPEND}
    - {name: x-gone, operation: REMOVE}
  responseHeaderOperations: [{name: x-c, values: ['"c"']}]
"""


def test_header_operations_have_values_and_outputs_of_actions() -> None:
    found = ruleset(f"{NEWER}\n---\n{HEADERS}")
    (rule,) = (each for each in found.rules if each.key.name == "headers")
    first, second = rule.request_headers
    assert (first.name, first.operation, second.operation, len(second.values)) == (
        "x-a",
        "APPEND",
        "REMOVE",
        0,
    )
    assert [each.evaluate(Bag({"asked.output.value": "v"})) for each in first.values] == ["v", "b"]
    assert rule.response_headers[0].operation == "REPLACE"
    assert "x-b" in found.headers("CHECK")


def test_headers_alone_are_a_rule() -> None:
    spec = "spec: {requestHeaderOperations: [{name: x-a, values: ['\"a\"']}]}"
    found = ruleset(f"kind: rule\nmetadata: {{name: only}}\n{spec}")
    assert [rule.key.name for rule in found.serving("CHECK")] == ["only"]


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ("compiledAdapter: denier", "compiledAdapter: denyer", "spec.compiledAdapter", "did you mean denier"),
        ("code: 5", "code: 99", "spec.params.status.code", "less than or equal to 16"),
        ("code: 5", "kode: 5", "spec.params.status.kode", "did you mean code"),
        ("validDuration: 1m", "validDuration: 1", "spec.params.validDuration", "not a duration"),
        ("compiledTemplate: checknothing", "compiledTemplate: checknothin", "spec.compiledTemplate",
         "did you mean checknothing"),
        ("compiledTemplate: checknothing", "compiledTemplate: checknothing, params: {value: a}",
         "spec.params.value", "there is no such field"),
        ("compiledTemplate: checknothing", "compiledTemplate: listentry", "spec.params.value", "is missing"),
        ("compiledTemplate: checknothing", "compiledTemplate: apikey, params: {apiKey: request.api_key}",
         "spec.actions[0].instances[0]", "is of template apikey, which adapter denier"),
        ('== "jason"', "== 5", "spec.match", "INT64 where STRING is expected"),
        ("handler: deny,", "handler: never,", "spec.actions[0].handler", "no handler never"),
        ("[any]", "[some]", "spec.actions[0].instances[0]", "no instance some"),
        ("compiledAdapter: denier,", "adapter: denier, connection: {address: 'a:1'},", "spec.connection",
         "in another process"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_left_out_and_told(before: str, after: str, path: str, words: str) -> None:
    assert before in NEWER
    found = ruleset(f"{NEWER.replace(before, after)}\n---\n{METRICS}")
    assert [rule.key.name for rule in found.rules] == ["counted"]
    assert path in [each.path for each in found.problems], told(found)
    assert any(words in each for each in told(found)), told(found)


def test_parameters_that_do_not_fit_what_is_sent_take_the_rule_along() -> None:
    found = ruleset(METRICS.replace("labels: [app, code]", "labels: [app]"))
    assert [each.path for each in found.problems] == ["spec.params.labels", "spec.actions"]
    assert not found.handlers and not found.rules
    assert found.problems[0].message == "are not the dimensions of requests.instance.istio-system"


def test_an_older_kinds_faults_have_their_own_paths() -> None:
    found = ruleset(OLDER.replace("code: 5", "code: 0"))
    assert found.problems[0].path == "spec.status.code"


MANIFEST = """
kind: attributemanifest
metadata: {name: ours, namespace: istio-system}
spec: {attributes: {billing.customer: {valueType: STRING}, source.ip: {valueType: STRING}}}
"""


def test_a_manifest_adds_attributes_and_changes_none() -> None:
    text = NEWER.replace('request.headers["end-user"]', "billing.customer")
    assert "'billing.customer' is not an attribute" in ruleset(text).problems[0].message
    found = ruleset(f"{text}\n---\n{MANIFEST}")
    assert not found.problems
    assert found.attributes["source.ip"] is ValueType.IP_ADDRESS


def test_nothing_is_put_together_of_nothing() -> None:
    found = resolve((), ADAPTERS)
    assert (found.rules, dict(found.handlers), bool(found.quotas), found.headers()) == (
        (),
        {},
        False,
        frozenset(),
    )


def test_what_did_not_change_is_not_compiled_again() -> None:
    one, other = ruleset(NEWER), ruleset(f"{NEWER}\n---\n{METRICS}")
    assert one.rules[0].match is other.rules[1].match
