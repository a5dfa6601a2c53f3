"""S2 to S4: the policies of security.istio.io: what they say, what is refused, what is doubtful."""

import json
from typing import Any

import pytest

from mesh.api.admit import admit
from mesh.api.errors import Problem
from mesh.api.parse import parse_object

pytestmark = pytest.mark.behaviour("S3", "S2", "S4", "G1")
KEY = {"kty": "RSA", "e": "AQAB", "n": "AAAA", "kid": "a"}
OPERATION, SOURCE = "spec.rules[0].to[0].operation", "spec.rules[0].from[0].source"
WHEN = "spec.rules[0].when[0]"
SELECTED = {"matchLabels": {"a": "b"}}
JWKS = json.dumps({"keys": [KEY]})


def obj(kind: str, spec: Any, version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"security.istio.io/{version}",
        "kind": kind,
        "metadata": {"name": "a", "namespace": "weather"},
        "spec": spec,
    }


def errors(kind: str, spec: Any) -> list[Problem]:
    found, _ = admit(obj(kind, spec))
    return list(found)


def warnings(kind: str, spec: Any) -> list[str]:
    wrong, found = admit(obj(kind, spec))
    assert not wrong
    return [str(each) for each in found]


def rule(**parts: Any) -> dict[str, Any]:
    return {"action": "DENY", "rules": [parts]}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_policy_is_read_with_istios_names(version: str) -> None:
    spec = {
        "selector": {"matchLabels": {"app": "forecast"}},
        "action": "CUSTOM",
        "provider": {"name": "gate"},
        "rules": [
            {
                "from": [{"source": {"notPrincipals": ["a/ns/b/sa/c"], "remoteIpBlocks": ["10.0.0.0/8"]}}],
                "to": [{"operation": {"paths": ["/a/{*}/b", "/c/{**}"], "notMethods": ["GET"]}}],
                "when": [{"key": "request.auth.claims[a][b]", "notValues": ["x"]}],
            }
        ],
    }
    policy = parse_object(obj("AuthorizationPolicy", spec, version)).spec
    (only,) = policy.rules
    assert only.from_[0].source.not_principals == ("a/ns/b/sa/c",)
    assert only.from_[0].source.remote_ip_blocks == ("10.0.0.0/8",)
    assert only.to[0].operation.not_methods == ("GET",)
    assert only.when[0].not_values == ("x",)
    assert policy.provider.name == "gate"


def test_a_policy_without_a_spec_allows_nothing() -> None:
    without = obj("AuthorizationPolicy", None)
    del without["spec"]
    policy = parse_object(without).spec
    assert (policy.action, policy.rules) == ("ALLOW", ())


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        (rule(**{"from": [{"source": {"ipBlocks": ["10.0.0.0/99"]}}]}),
         f"{SOURCE}.ipBlocks[0]", "neither an IP address nor a range"),
        (rule(**{"from": [{"source": {}}]}), "spec.rules[0].from[0].source", "is empty"),
        (rule(**{"from": [{}]}), "spec.rules[0].from[0].source", "is missing"),
        (rule(**{"from": []}), "spec.rules[0].from", "is empty"),
        (rule(to=[{"operation": {"ports": ["0"]}}]), f"{OPERATION}.ports[0]", "1-65535"),
        (rule(to=[{"operation": {"paths": ["/{a}"]}}]), f"{OPERATION}.paths[0]", "{*} and {**}"),
        (rule(to=[{"operation": {"paths": ["/{*}/a*"]}}]), f"{OPERATION}.paths[0]", "segment"),
        (rule(to=[{"operation": {"hosts": [""]}}]), f"{OPERATION}.hosts[0]", "is empty"),
        (rule(when=[{"key": "request.headers", "values": ["a"]}]), f"{WHEN}.key", "no"),
        (rule(when=[{"key": "source.ip"}]), "spec.rules[0].when[0]", "neither values nor notValues"),
        (rule(when=[{"key": "destination.port", "values": ["x"]}]), f"{WHEN}.values[0]", "port"),
        (rule(**{"from": [{"source": {"serviceAccounts": ["a/b/c"]}}]}),
         f"{SOURCE}.serviceAccounts[0]", "NAMESPACE/NAME"),
        (rule(**{"from": [{"source": {"serviceAccounts": ["a"], "namespaces": ["b"]}}]}),
         f"{SOURCE}.serviceAccounts", "beside"),
        ({"action": "DENY"}, "spec.rules", "never does anything"),
        ({"action": "CUSTOM", "rules": [{}]}, "spec.provider.name", "is missing"),
        ({"rules": [{}], "provider": {"name": "a"}}, "spec.provider", "no meaning"),
        ({"action": "REFUSE"}, "spec.action", "'ALLOW', 'DENY'"),
        ({"selector": {"matchLabels": {"app": "a*"}}}, "spec.selector.matchLabels[app]", "wildcards"),
        ({"selector": {"matchLabels": {"a": "b"}}, "targetRefs": [{"kind": "Gateway", "name": "a"}]},
         "spec", "only one of selector"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused(spec: Any, path: str, words: str) -> None:
    (found,) = errors("AuthorizationPolicy", spec)
    assert found.path == path
    assert words in str(found)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            rule(**{"from": [{"source": {"principals": ["spiffe://a/ns/b/sa/c"]}}]}),
            "write it without spiffe://",
        ),
        (rule(**{"from": [{"source": {"principals": ["c"]}}]}), "write the whole identity"),
        (rule(to=[{"operation": {"methods": ["get"]}}]), "write GET"),
        (rule(to=[{"operation": {"paths": ["/a*b"]}}]), "in the middle"),
        (rule(to=[{"operation": {"paths": ["/a"]}}]), "on TCP ports the rule denies whatever paths say"),
        (rule(when=[{"key": "request.headers[a]", "values": ["b"]}]), "whatever request.headers[a] say"),
    ],
)
def test_a_doubtful_policy_is_told(spec: Any, words: str) -> None:
    assert any(words in each for each in warnings("AuthorizationPolicy", spec))


def test_a_plain_policy_raises_no_doubt() -> None:
    spec = rule(**{"from": [{"source": {"principals": ["*"], "namespaces": ["a"]}}]})
    assert warnings("AuthorizationPolicy", spec) == []


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"mtls": {"mode": "MUTUAL"}}, "spec.mtls.mode", "STRICT"),
        ({"portLevelMtls": {"80": {"mode": "STRICT"}}}, "spec.portLevelMtls", "without a selector"),
        ({"selector": SELECTED, "portLevelMtls": {"0": {}}}, "spec.portLevelMtls[0]", "1-65535"),
        ({"selector": SELECTED, "portLevelMtls": {"http": {}}}, "spec.portLevelMtls", "without quotes"),
    ],
)  # fmt: skip
def test_a_wrong_peer_authentication_is_refused(spec: Any, path: str, words: str) -> None:
    found = errors("PeerAuthentication", spec)
    assert path in found[0].path or found[0].path == path
    assert words in str(found[0])


def jwt(**parts: Any) -> dict[str, Any]:
    return {"jwtRules": [{"issuer": "https://a.example", **parts}]}


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"jwtRules": [{}]}, "spec.jwtRules[0].issuer", "is missing"),
        (jwt(jwks=JWKS, jwksUri="https://a"), "spec.jwtRules[0]", "only one of jwks, jwksUri"),
        (jwt(jwksUri="a.example/keys"), "spec.jwtRules[0].jwksUri", "not a URL"),
        (jwt(jwks="{"), "spec.jwtRules[0].jwks", "not JSON"),
        (jwt(jwks="[" * 100_000), "spec.jwtRules[0].jwks", "not JSON"),
        (jwt(jwks='{"keys": []}'), "spec.jwtRules[0].jwks", "has no keys"),
        (jwt(jwks='{"keys": [{"kty": "RSA", "n": "AA"}]}'), "spec.jwtRules[0].jwks", "keys[0] lacks e"),
        (jwt(jwks='{"keys": [{"kty": "DSA"}]}'), "spec.jwtRules[0].jwks", "not one of RSA"),
        (jwt(fromHeaders=[{"name": "a\n"}]), "spec.jwtRules[0].fromHeaders[0].name", "not a header name"),
        (
            jwt(fromHeaders=[{"name": "a", "prefix": "a\r"}]),
            "spec.jwtRules[0].fromHeaders[0].prefix",
            "'a\\r' is in no header",
        ),
        (jwt(fromHeaders=[{"name": "a b"}]), "spec.jwtRules[0].fromHeaders[0].name", "not a header name"),
        (jwt(fromParams=[""]), "spec.jwtRules[0].fromParams[0]", "is empty"),
        (jwt(timeout="5"), "spec.jwtRules[0].timeout", "like 5s"),
        (jwt(outputClaimToHeaders=[{"header": "x-a", "claim": ""}]),
         "spec.jwtRules[0].outputClaimToHeaders[0].claim", "is empty"),
    ],
)  # fmt: skip
def test_a_wrong_request_authentication_is_refused(spec: Any, path: str, words: str) -> None:
    (found,) = errors("RequestAuthentication", spec)
    assert found.path == path
    assert words in str(found)


def test_keys_that_nobody_could_find_are_doubtful() -> None:
    (told,) = warnings("RequestAuthentication", {"jwtRules": [{"issuer": "me@example.com"}]})
    assert "set jwks or jwksUri" in told
    assert warnings("RequestAuthentication", jwt(jwks=JWKS)) == []
