"""S7: a refusal can be traced. `meshctl authz check` explains, from what Envoy holds, what Envoy does."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import authz
from mesh.cli.authz_dump import Chain, chains, policy_of
from mesh.cli.authz_explain import Verdict, explained
from mesh.cli.authz_match import Request
from mesh.cli.errors import CommandError
from mesh.cli.options import Output
from tests.pilot.authz import oracle, rig
from tests.pilot.authz.calls import Call, Workload
from tests.pilot.authz.compiled import Compiled
from tests.pilot.authz.gate import gate
from tests.pilot.authz.generate import Case
from tests.pilot.authz.matrix import cases, served

pytestmark = pytest.mark.behaviour("S7")

WORKLOAD = Workload("weather", {}, "127.0.0.1", (8080,))


def described(call: Call, case: Case) -> Request:
    """A call as somebody describes it to `meshctl`."""
    rules = oracle.token_check([{"issuer": "https://id.example"}, {"issuer": "testing@secure"}], call)
    has_rules = any(each["kind"] == "RequestAuthentication" for each in here(case))
    return Request(
        method=call.method, path=call.path, host=call.host, port=case.workload.ports[call.port],
        principal=call.identity or "", source_ip=call.source,
        remote_ip="" if call.tcp or not call.forwarded else call.forwarded.rpartition(",")[2].strip(),
        destination_ip=case.workload.address, server_name=call.server_name or "", headers=call.headers,
        claims=scopes(rules[1]) if has_rules and not call.tcp else None,
    )  # fmt: skip


def here(case: Case) -> list[dict[str, Any]]:
    return [each for each in case.policies if oracle.applies(each, case.workload)]


def scopes(claims: Any) -> Any:
    """Claims as Envoy keeps them: lists that are written as one text are lists."""
    if claims and isinstance(claims.get("scope"), str):
        return {**claims, "scope": claims["scope"].split()}
    return claims


def test_it_explains_what_envoy_does() -> None:
    every, found = cases(), Counter[str]()
    for case, listener in zip(every, served(every), strict=True):
        if "experimental" in json.dumps(case.policies):
            continue
        (chain,) = chains([rig.listener(listener, Path("log"))]) or [Chain("", 0, True)]
        for call in case.calls:
            right = oracle.verdict(case.policies, case.workload, call)
            if not call.tcp and call.token is not None and (call.token.flaw or right.status == 401):
                continue
            if right.status == 403 and not right.rules:  # the token's audience
                continue
            agrees(explained(chain, described(call, case)), right, call, case)
            found[(right.rules and "denied") or "allowed"] += 1
    assert min(found.values()) > 500, found


def agrees(found: Verdict, right: oracle.Verdict, call: Call, case: Case) -> None:
    words = f"{found}\n{right}\n{call}\n{case.policies}"
    custom = call.headers.get("x-ext-authz") == "allow"
    if found.decision == "ASKED":
        assert right.allowed is custom, words
    elif found.decision == "DENIED" and right.rules and "none" not in right.rules:
        assert any(rule in found.rule for rule in right.rules) or not custom, words
    else:
        assert (found.decision == "ALLOWED") is right.allowed, words


# What is printed


def policy(name: str, spec: dict[str, Any], **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "weather", "annotations": annotations}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def custom(provider: str, method: str) -> dict[str, Any]:
    rules = [{"to": [{"operation": {"methods": [method]}}]}]
    return {"action": "CUSTOM", "provider": {"name": provider}, "rules": rules}


POLICIES = [
    policy(
        "readers",
        {
            "rules": [
                {
                    "from": [{"source": {"principals": ["cluster.local/ns/weather/sa/frontend"]}}],
                    "to": [{"operation": {"methods": ["GET"], "paths": ["/api/*", "/city/{*}"]}}],
                    "when": [{"key": "request.headers[x-user]", "notValues": ["mallory"]}],
                }
            ]
        },
    ),
    policy("no-admin", {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]}),
    policy("trial", {"action": "DENY", "rules": [{}]}, **{"istio.io/dry-run": "true"}),
    policy("watch", {"action": "AUDIT", "rules": [{}]}),
    policy("ask", custom("gate", "PUT")),
    policy("nobody", custom("nobody", "PATCH")),
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The policies as a real Envoy shows them in its config dump."""
    folder = tmp_path_factory.mktemp("check")
    listener = rig.Served("inbound", "127.0.0.1", (0,), Compiled(POLICIES).http(WORKLOAD))
    with gate() as clusters, rig.envoy([listener], folder, clusters):
        answer = rig.asked(folder, "/config_dump?resource=static_listeners")
    dump = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["configs"]
    (found,) = chains(each["listener"] for each in dump)
    return found


FRONTEND = "cluster.local/ns/weather/sa/frontend"


@pytest.mark.parametrize(
    ("request_", "decision", "rule"),
    [
        (Request(path="/api/x", principal=FRONTEND), "ALLOWED", "ns[weather]-policy[readers]-rule[0]"),
        (Request(path="/city/oslo?x", principal=FRONTEND), "ALLOWED", "ns[weather]-policy[readers]-rule[0]"),
        (Request(path="/city/oslo/x", principal=FRONTEND), "DENIED", "none"),
        (Request(path="/api/x"), "DENIED", "none"),
        (Request(path="/admin", principal=FRONTEND), "DENIED", "ns[weather]-policy[no-admin]-rule[0]"),
        (
            Request(method="PATCH", path="/api/x"),
            "DENIED",
            "ns[weather]-policy[nobody]-rule[0]-deny-due-to-bad-CUSTOM-action",
        ),
    ],
)  # fmt: skip
def test_the_deciding_rule_is_named(chain: Chain, request_: Request, decision: str, rule: str) -> None:
    found = explained(chain, request_)
    assert (found.decision, found.rule) == (decision, rule)


def test_what_is_missing_is_said(chain: Chain) -> None:
    found = explained(chain, Request(method="POST", path="/api/x", headers={"x-user": "mallory"}))
    words = "\n".join(found.steps)
    assert ":method is 'GET'" in words
    assert "caller is 'spiffe://cluster.local/ns/weather/sa/frontend'" in words
    assert "not (x-user is 'mallory')" in words
    assert "/api/" not in words


def test_a_provider_is_named() -> None:
    compiled = Compiled([POLICIES[4]])
    listener = rig.Served("inbound", "127.0.0.1", (80,), compiled.http(WORKLOAD))
    (chain,) = chains([rig.listener(listener, Path("log"))])
    found = explained(chain, Request(method="PUT"))
    assert (found.decision, found.rule) == ("ASKED", "istio-ext-authz-gate-ns[weather]-policy[ask]-rule[0]")
    assert "asks gate" in found.reason


def test_trials_and_audits_are_shown_but_decide_nothing(chain: Chain) -> None:
    steps = explained(chain, Request(path="/api/x", principal=FRONTEND)).steps
    assert any("DENY (dry run): AuthorizationPolicy weather/trial, rule 0 matches" in each for each in steps)
    assert any("AUDIT: AuthorizationPolicy weather/watch, rule 0 matches" in each for each in steps)


def test_the_list(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    authz.listed([chain], Output.TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["PORT", "ACTION", "MODE", "POLICY"]
    assert any("DENY" in line and "dry run" in line and "weather/trial" in line for line in lines)
    assert len(lines) == 1 + len(POLICIES)
    authz.listed([chain], Output.JSON)
    assert len(json.loads(capsys.readouterr().out)) == len(POLICIES)
    authz.listed([], Output.TABLE)
    assert "no policy is in force" in capsys.readouterr().out


def test_the_verdict_is_printed(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = explained(chain, Request(path="/admin"))
    authz.shown(chain, verdict, Output.TABLE)
    assert "DENIED on port" in capsys.readouterr().out
    authz.shown(chain, verdict, Output.JSON)
    assert json.loads(capsys.readouterr().out)["rule"] == "ns[weather]-policy[no-admin]-rule[0]"


@pytest.mark.parametrize("text", ["x-user", "=a", ""])
def test_a_header_must_have_a_name_and_a_value(text: str) -> None:
    with pytest.raises(CommandError, match="NAME=VALUE"):
        authz.divided(text)


@pytest.mark.parametrize("text", ["[]", "nonsense", "7"])
def test_claims_must_be_an_object(text: str) -> None:
    with pytest.raises(CommandError, match="not a JSON object"):
        authz.parsed(text)


def test_the_chain_of_a_port() -> None:
    web, other, rest = Chain("a", 80, True), Chain("a", 81, False), Chain("a", 0, False)
    assert authz.chosen([rest, other, web], None) is web
    assert authz.chosen([rest, other, web], 81) is other
    assert authz.chosen([rest, other, web], 7) is rest
    with pytest.raises(CommandError, match="no chain of filters for port 7") as failed:
        authz.chosen([web, other], 7)
    assert "80, 81" in failed.value.remedy


def test_a_name_that_is_nobodys_stays() -> None:
    assert policy_of("something") == "something"
