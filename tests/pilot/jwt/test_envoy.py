"""S6: real Envoy checks tokens as RequestAuthentications say: every field of JWTRule, with signed tokens."""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.pilot.authz import rig, tokens
from tests.pilot.authz.calls import Call, Workload
from tests.pilot.authz.compiled import Compiled
from tests.pilot.jwt.echo import ROUTE, echo
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("S6")

ISSUER = "https://id.example"
OTHER = "testing@secure"
CLAIMS = {
    "iss": ISSUER, "sub": "alice", "aud": ["web", "api"], "team": "blue", "level": 7,
    "org": {"name": "acme"}, "roles": ["a", "b"],
}  # fmt: skip

RULES: dict[str, list[dict[str, Any]]] = {
    "plain": [{}],
    "header": [{"fromHeaders": [{"name": "x-token", "prefix": "Token "}]}],
    "bare": [{"fromHeaders": [{"name": "x-token"}]}],
    "param": [{"fromParams": ["token"]}],
    "cookie": [{"fromCookies": ["session"]}],
    "forwarded": [{"forwardOriginalToken": True}],
    "payload": [{"outputPayloadToHeader": "x-payload"}],
    "claims": [
        {
            "outputClaimToHeaders": [
                {"header": "x-team", "claim": "team"},
                {"header": "x-org", "claim": "org.name"},
                {"header": "x-roles", "claim": "roles"},
                {"header": "x-none", "claim": "nothing"},
            ]
        }
    ],
    "audiences": [{"audiences": ["api", "batch"]}],
    "elsewhere": [{"audiences": ["batch"]}],
    "two": [{}, {"issuer": OTHER, "jwks": tokens.jwks(1)}],
    "apart": [{}, {"issuer": OTHER, "jwks": tokens.jwks(1), "fromHeaders": [{"name": "x-token"}]}],
    "several-keys": [{"jwks": tokens.jwks(1, 2)}],
    "discovered": [{"jwks": ""}],
}
"""Rules by the workload that they are for; each has issuer and keys as far as it does not say others."""


def policy(name: str, rule: Mapping[str, Any], number: int) -> dict[str, Any]:
    """One rule in a policy of its own: they add up."""
    whole = {"issuer": ISSUER, "jwks": "KEYS", **rule}
    if not whole["jwks"]:
        del whole["jwks"]
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": f"{name}-{number}", "namespace": name},
        "spec": {"jwtRules": [whole]},
    }


Ask = Callable[..., rig.Answer]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Sends a request to a workload; gives the answer."""
    folder = tmp_path_factory.mktemp("jwt")
    ports = (free_port(),)
    network = f"127.{100 + os.getpid() % 100}.9"
    at = {name: Workload(name, {}, f"{network}.{n + 1}", ports) for n, name in enumerate(RULES)}
    compiled = Compiled(
        policy(name, rule, n) for name, rules in RULES.items() for n, rule in enumerate(rules)
    )
    served = [rig.Served(name, w.address, ports, compiled.http(w), route=ROUTE) for name, w in at.items()]
    callers = rig.Callers(folder)

    def send(name: str, token: str = "", **more: Any) -> rig.Answer:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        call = Call(headers=headers | more.pop("headers", {}))
        return callers.call(replace(call, **more), at[name].address, ports)

    with echo() as clusters, rig.envoy(served, folder, clusters):
        yield send


def arrived(answer: rig.Answer) -> dict[str, str]:
    """The headers that have reached the workload."""
    assert answer.status == 200, answer
    headers: dict[str, str] = json.loads(answer.body)["headers"]
    return headers


def good(**claims: Any) -> str:
    return tokens.encoded({**CLAIMS, **claims})


def test_a_good_token_passes_and_is_taken_away(ask: Ask) -> None:
    assert "authorization" not in arrived(ask("plain", good()))


def test_a_missing_token_passes(ask: Ask) -> None:
    arrived(ask("plain"))


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (tokens.encoded(CLAIMS, number=9, kid="key-0"), "Jwt_verification_fails"),
        (tokens.encoded(CLAIMS, number=9, kid="key-9"), "Jwks_doesn't_have_key_to_match"),
        (tokens.encoded(CLAIMS, expires=tokens.EXPIRED), "Jwt_is_expired"),
        (good(nbf=tokens.FUTURE - 1), "Jwt_not_yet_valid"),
        (good(iss="https://elsewhere.example"), "Jwt_issuer_is_not_configured"),
        ("no.token.atall", "Jwt"),
        ("nothing", "Jwt"),
    ],
)
def test_a_wrong_token_is_401_with_the_reason(ask: Ask, token: str, reason: str) -> None:
    answer = ask("plain", token)
    assert answer.status == 401
    assert reason in answer.details
    assert "www-authenticate" in answer.headers


def test_an_unsigned_token_is_401(ask: Ask) -> None:
    head = tokens.coded(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    assert ask("plain", f"{head}.{tokens.coded(json.dumps(CLAIMS).encode())}.").status == 401


def test_from_headers(ask: Ask) -> None:
    assert "x-token" not in arrived(ask("header", headers={"x-token": f"Token {good()}"}))
    assert ask("header", headers={"x-token": "Token nonsense"}).status == 401
    arrived(ask("header", "nonsense"))  # not looked for there


def test_from_headers_without_a_prefix(ask: Ask) -> None:
    assert ask("bare", headers={"x-token": good()}).status == 200
    assert ask("bare", headers={"x-token": f"Token {good()}x"}).status == 401


def test_from_params(ask: Ask) -> None:
    assert ask("param", path=f"/?a=b&token={good()}").status == 200
    assert ask("param", path="/?token=nonsense").status == 401


def test_from_cookies(ask: Ask) -> None:
    assert ask("cookie", headers={"cookie": f"a=b; session={good()}"}).status == 200
    assert ask("cookie", headers={"cookie": "session=nonsense"}).status == 401


def test_by_default_the_parameter_access_token_is_looked_at(ask: Ask) -> None:
    assert ask("plain", path="/?access_token=nonsense").status == 401


def test_the_original_token_is_forwarded(ask: Ask) -> None:
    assert arrived(ask("forwarded", good()))["authorization"] == f"Bearer {good()}"


def test_the_payload_becomes_a_header(ask: Ask) -> None:
    payload = arrived(ask("payload", good()))["x-payload"]
    found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert found["sub"] == "alice"


def test_claims_become_headers_and_callers_cannot_forge_them(ask: Ask) -> None:
    headers = arrived(ask("claims", good(), headers={"x-team": "red", "x-none": "forged"}))
    assert (headers["x-team"], headers["x-org"]) == ("blue", "acme")
    assert json.loads(base64.b64decode(headers["x-roles"])) == ["a", "b"]
    assert "x-none" not in headers


@pytest.mark.parametrize(("name", "header"), [("payload", "x-payload"), ("claims", "x-team")])
def test_without_a_token_callers_cannot_forge_such_a_header(ask: Ask, name: str, header: str) -> None:
    assert header not in arrived(ask(name, headers={header: "e30"}))


def test_audiences(ask: Ask) -> None:
    assert ask("audiences", good()).status == 200
    assert ask("audiences", good(aud="batch")).status == 200
    assert ask("audiences", good(aud="other")).status == 403
    assert ask("elsewhere", good()).status == 403


def test_two_issuers_in_two_policies_at_the_same_place(ask: Ask) -> None:
    other = tokens.encoded({"iss": OTHER, "sub": "bob"}, number=1)
    assert [ask("two", each).status for each in (good(), other)] == [200, 200]
    assert ask("two", tokens.encoded({"iss": OTHER, "sub": "bob"}, number=2, kid="key-1")).status == 401
    assert ask("two", tokens.encoded({"iss": "third", "sub": "bob"})).status == 401


def test_two_issuers_at_two_places_are_both_checked(ask: Ask) -> None:
    other = tokens.encoded({"iss": OTHER, "sub": "bob"}, number=1)
    assert ask("apart", good(), headers={"x-token": other}).status == 200
    assert ask("apart", headers={"x-token": "nonsense"}).status == 401
    assert ask("apart", headers={"x-token": other}).status == 200


def test_any_of_an_issuers_keys(ask: Ask) -> None:
    for number in (1, 2):
        assert ask("several-keys", tokens.encoded(CLAIMS, number=number)).status == 200
    assert ask("several-keys", tokens.encoded(CLAIMS, number=0)).status == 401


def test_as_long_as_keys_are_unknown_no_token_is_good(ask: Ask) -> None:
    assert ask("discovered", good()).status == 401
    assert ask("discovered").status == 200


def test_a_preflight_passes(ask: Ask) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "GET"}
    assert ask("plain", "nonsense", method="OPTIONS", headers=asked).status == 200


def test_no_damaged_token_passes_or_ends_envoy(ask: Ask) -> None:
    chance = Random(7)
    for _ in range(300):
        assert ask("plain", damaged(good(), chance)).status in (400, 401)
    assert ask("plain", good()).status == 200


def damaged(token: str, chance: Random) -> str:
    """A token with a part that is changed, doubled, cut or nested."""
    parts = token.split(".")
    number, signs = chance.randrange(3), "Aa0-_=.!~" + chr(chance.randrange(33, 127))
    part = parts[number]
    # Not the first: Envoy passes over signs before a token. Not the last: they may stand for the same bytes.
    at = chance.randrange(1, len(part) - 8)
    other = chance.choice([sign for sign in signs if sign != part[at]])
    match chance.randrange(5):
        case 0:
            parts[number] = part[:at] + other + part[at + 1 :]
        case 1:
            parts[number] = part[:at]
        case 2:
            del parts[number]
        case 3:
            parts[number] = part[:at] + other * chance.choice((1, 1000)) + part[at:]
        case 4:
            content = "[" * chance.choice((1, 3000)) + '{"iss":"https://id.example","exp":"x"}'
            parts[chance.randrange(2)] = tokens.coded(content.encode())
    return ".".join(parts)
