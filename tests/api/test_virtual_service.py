"""T1, T2: Istio's YAML goes in as it is; what is wrong is told all at once, with path and remedy."""

import pytest

from mesh.api.errors import ConfigError, Problem
from mesh.api.load import load_yaml
from mesh.api.networking import VirtualService

pytestmark = pytest.mark.behaviour("T1", "T2", "W5")

WHOLE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: forecast, namespace: weather}
spec:
  hosts: [forecast]
  exportTo: ["*"]
  http:
    - name: chosen
      match:
        - uri: {prefix: /weather}
          method: {exact: GET}
          headers: {x-user: {regex: "a+"}, x-there: {}}
          withoutHeaders: {x-bot: {exact: "1"}}
          queryParams: {city: {exact: Paris}}
          sourceLabels: {app: frontend}
          sourceNamespace: weather
          ignoreUriCase: true
          port: 3002
      rewrite: {uri: /v2}
      timeout: 1.5s
      retries: {attempts: 3, perTryTimeout: 200ms, retryOn: "5xx"}
      fault:
        delay: {fixedDelay: 1m30s, percentage: {value: 0.5}}
        abort: {httpStatus: 503, percentage: {value: 10}}
      headers:
        request: {set: {x-a: b}, add: {x-c: d}, remove: [x-e]}
      mirrors:
        - destination: {host: forecast, subset: v2}
          percentage: {value: 1}
      corsPolicy: {allowOrigins: [{exact: "https://a.example"}], maxAge: 24h}
      route:
        - destination: {host: forecast, subset: v1, port: {number: 3002}}
          weight: 90
        - destination: {host: forecast, subset: v2}
          weight: 10
    - directResponse: {status: 418, body: {string: never}}
"""


def spec(text: str) -> VirtualService:
    (obj,) = load_yaml(text)
    assert isinstance(obj.spec, VirtualService)
    return obj.spec


def problems(body: str) -> list[Problem]:
    text = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\n{body}"
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, file="rule.yaml")
    return list(caught.value.problems)


def test_istios_fields_are_read_with_their_types() -> None:
    route = spec(WHOLE).http[0]
    assert route.match[0].headers["x-user"].regex == "a+"
    assert route.timeout == 1.5
    assert route.retries is not None and route.retries.per_try_timeout == 0.2
    assert route.fault is not None and route.fault.delay is not None and route.fault.delay.fixed_delay == 90
    assert [each.weight for each in route.route] == [90, 10]


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_older_versions_are_accepted(version: str) -> None:
    assert spec(WHOLE.replace("io/v1", f"io/{version}")).hosts == ("forecast",)


def test_all_mistakes_are_told_at_once_with_their_paths() -> None:
    found = problems(
        "spec:\n  hostz: [a]\n  http:\n"
        "  - route: [{destination: {host: 'b c'}, weigth: 10}]\n"
        "  - match: [{uri: {prefix: /a, exact: b}}]\n    timeout: 5\n    redirect: {}\n"
    )
    assert {problem.path: problem.origin for problem in found} == {
        "spec.hostz": "rule.yaml:5",
        "spec.http[0].route[0].destination.host": "rule.yaml:7",
        "spec.http[0].route[0].weigth": "rule.yaml:7",
        "spec.http[1].match[0].uri": "rule.yaml:8",
        "spec.http[1].timeout": "rule.yaml:9",
    }


def test_what_is_wrong_inside_does_not_hide_what_is_wrong_around_it() -> None:
    found = problems(
        "spec:\n  hosts: [a, a]\n  exportTo: [A]\n  http:\n"
        "  - route: [{destination: {host: a, port: {number: 0}}}]\n"
        "    redirect: {redirectCode: 200}\n    rewrite: {}\n"
    )
    assert {problem.path for problem in found} == {
        "spec.hosts[1]",
        "spec.exportTo[0]",
        "spec.http[0]",
        "spec.http[0].rewrite",
        "spec.http[0].redirect",
        "spec.http[0].route[0].destination.port.number",
    }


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}, weigth: 1}]}]}",
         "spec.http[0].route[0].weigth", "did you mean weight?"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}}], timeout: 5 s}]}",
         "spec.http[0].timeout", "like 5s"),
        ("spec: {hosts: [a], http: [{match: [{uri: {regex: '(?=x)'}}], redirect: {uri: /}}]}",
         "spec.http[0].match[0].uri.regex", "RE2"),
        ("spec: {hosts: [a], http: [{match: [{uri: {regex: '('}}], redirect: {uri: /}}]}",
         "spec.http[0].match[0].uri.regex", "not a regular expression"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a, port: {number: 70000}}}]}]}",
         "spec.http[0].route[0].destination.port.number", "1-65535"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]}",
         "spec.http[0]", "add up to 0"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}}], redirect: {uri: /}}]}",
         "spec.http[0]", "exactly one of"),
        ("spec: {hosts: [a], http: [{fault: {abort: {httpStatus: 700}}, route: [{destination: {host: a}}]}]}",
         "spec.http[0].fault.abort", "200-599"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}}], timeout: 1.5}]}",
         "spec.http[0].timeout", "like 5s"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}}], timeout: 99999999999h}]}",
         "spec.http[0].timeout", "longer than"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}, weight: '9'}]}]}",
         "spec.http[0].route[0].weight", "without quotes"),
        ("spec: {hosts: [a], http: [{route: [{destination: {host: a}}], retries: {retryOn: 5xxx}}]}",
         "spec.http[0].retries", "gateway-error"),
        ("spec: {hosts: [a]}", "spec", "must have a route"),
        ("spec: {hosts: ['*'], http: [{redirect: {uri: /}}]}", "spec", "only for gateways"),
        ("metadatum: 1", "spec", "beside metadata"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_field_and_a_remedy(body: str, path: str, words: str) -> None:
    (found,) = problems(body)
    assert found.path == path
    assert words in str(found)


def test_a_kind_that_does_not_exist_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError, match="did you mean VirtualService"):
        load_yaml("apiVersion: networking.istio.io/v1\nkind: VirtualServices\nmetadata: {name: a}\nspec: {}")


def test_a_wrong_version_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"networking\.istio\.io/v1, "):
        load_yaml("apiVersion: networking.istio.io/v2\nkind: VirtualService\nmetadata: {name: a}\nspec: {}")


def test_text_that_is_not_yaml_names_the_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        load_yaml("a: b\n  c: [", file="rule.yaml")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("foo", "metadata: is 'foo'"),
        ("{}", "metadata.name: is missing"),
        ("{name: a, labels: b}", "metadata.labels"),
    ],
)
def test_metadata_without_its_form_is_refused(metadata: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {metadata}\nspec: {{}}")
    assert words in str(caught.value)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="'hosts' stands twice"):
        load_yaml("kind: VirtualService\nspec:\n  hosts: [a]\n  hosts: [b]\n")
