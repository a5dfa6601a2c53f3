"""S6, S7: what a policy asks for and cannot have is said, with the place and the remedy."""

from typing import Any

import pytest

from mesh.pilot.problems import problems
from tests.pilot.authz.compiled import MESH, SERVICES, Compiled

pytestmark = pytest.mark.behaviour("S6", "S7")

DB = """
- name: db
  namespace: weather
  addresses: [10.1.0.3]
  ports: [{number: 3306, name: mysql}]
  instances: [{address: 10.0.0.4, labels: {app: db}}]
- name: web
  namespace: weather
  addresses: [10.1.0.4]
  ports: [{number: 80, name: http}]
  instances: [{address: 10.0.0.5, labels: {app: web}}]
"""


def policy(kind: str = "AuthorizationPolicy", app: str = "db", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {"name": "one", "namespace": "weather"},
        "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
    }


def said(*policies: dict[str, Any], mesh: Any = MESH) -> list[str]:
    return [str(each) for each in problems(Compiled(policies, mesh, SERVICES + DB).world.snapshot)]


METHODS = [{"to": [{"operation": {"methods": ["GET"]}}]}]


@pytest.mark.parametrize(("action", "effect"), [("ALLOW", "never matches"), ("DENY", "matches whatever")])
def test_keys_of_http_on_a_port_that_is_not(action: str, effect: str) -> None:
    (found,) = said(policy(action=action, rules=METHODS))
    assert "spec.rules[0]: port 3306 of" in found
    assert "has no methods" in found
    assert effect in found
    assert "ports" in found.rpartition(";")[2]


@pytest.mark.parametrize(
    "when",
    ["request.headers[x]", "request.auth.claims[a][b]", "request.auth.audiences", "request.auth.principal"],
)
def test_conditions_that_only_http_has(when: str) -> None:
    assert len(said(policy(rules=[{"when": [{"key": when, "values": ["a"]}]}]))) == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"from": [{"source": {"principals": ["*"]}}]},
        {"to": [{"operation": {"ports": ["3306"]}}]},
        {"when": [{"key": "source.ip", "values": ["10.0.0.1"]}]},
        {"when": [{"key": "connection.sni", "values": ["a"]}]},
    ],
)
def test_what_every_connection_has_is_no_doubt(rule: dict[str, Any]) -> None:
    assert said(policy(rules=[rule])) == []


def test_a_workload_that_speaks_http_only_is_no_doubt() -> None:
    assert said(policy(app="web", rules=METHODS)) == []


def test_a_provider_that_is_not_there() -> None:
    (found,) = said(policy(action="CUSTOM", provider={"name": "nobody"}, rules=[{}]))
    assert "no provider 'nobody'" in found
    assert "gate, gate-grpc" in found


def test_a_provider_without_a_service() -> None:
    provider = {"name": "lost", "envoyExtAuthzGrpc": {"service": "weather/lost", "port": 1}}
    mesh = {"extensionProviders": [provider]}
    (found,) = said(policy(action="CUSTOM", provider={"name": "lost"}, rules=[{}]), mesh=mesh)
    assert "lost.weather.svc.cluster.local:1, which no service has" in found


def test_keys_that_are_not_there() -> None:
    rules = [{"issuer": "https://id.example"}, {"issuer": "a", "jwksUri": "https://b.example/keys"}]
    first, second = said(policy("RequestAuthentication", jwtRules=rules))
    assert "https://id.example/.well-known/openid-configuration" in first
    assert "spec.jwtRules[1]" in second
    assert "https://b.example/keys" in second


def test_keys_that_nobody_can_use() -> None:
    weak = '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'
    (found,) = said(policy("RequestAuthentication", jwtRules=[{"issuer": "a", "jwks": weak}]))
    assert "spec.jwtRules[0].jwks: none of the keys of 'a' can be used" in found
