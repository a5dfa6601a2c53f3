"""Policy sets and calls, made from chance with a seed: each set is about one call and others like it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.pilot.authz.attributes import (
    ADDRESSES,
    ATTRIBUTES,
    HOSTS,
    IDENTITIES,
    METHODS,
    NAMES,
    REMOTES,
    WAYS,
    Attribute,
    written,
)
from tests.pilot.authz.calls import Call, Token, Workload
from tests.pilot.authz.oracle import ROOT

Policy = dict[str, Any]

ISSUERS = ("https://id.example", "testing@secure")
AUDIENCE = "api"
TOKENS = (
    Token(
        {
            "iss": ISSUERS[0], "sub": "alice", "aud": ["web", AUDIENCE], "azp": "client-1", "team": "blue-7",
            "groups": ["dev-1", "all"], "scope": "read write",
            "org": {"name": "acme", "units": ["u-1", "u-2"]},
        }
    ),
    Token(
        {
            "iss": ISSUERS[0], "sub": "carol", "aud": AUDIENCE, "azp": "client-2", "team": "red",
            "scope": "read",
        }
    ),
    Token(
        {
            "iss": ISSUERS[1], "sub": "bob", "aud": [AUDIENCE], "groups": ["ops"], "team": 7,
            "org": {"name": "corp", "units": []},
        }
    ),
    Token({"iss": ISSUERS[1], "sub": "bob/ops", "aud": "batch", "team": "blue-1"}),
)  # fmt: skip
FLAWS = ("signature", "expired", "issuer")

CHOICES: dict[str, tuple[Any, ...]] = {
    "identity": (*IDENTITIES, IDENTITIES[0], None),
    "source": ADDRESSES,
    "forwarded": (None, *REMOTES, f"{REMOTES[2]}, {REMOTES[1]}"),
    "server_name": (None, *NAMES[:3]),
    "port": (0, 1),
    "method": METHODS,
    "path": (*WAYS, f"{WAYS[1]}?q=/admin", f"{WAYS[4]}?"),
    "host": HOSTS,
}
ROLLED = (*CHOICES, "headers", "metadata", "token")
"""The parts of a call."""


@dataclass(frozen=True)
class Case:
    """A policy set, the workload that it is for, and calls to that."""

    number: int
    workload: Workload
    policies: tuple[Policy, ...]
    calls: tuple[Call, ...]


class Maker:
    """Makes cases. Every key in every form, positive and negative, is dealt out in turn."""

    def __init__(self, seed: int, ports: dict[bool, tuple[int, ...]], network: str = "127.1") -> None:
        self.random = Random(seed)
        self.network = network
        self.ports = ports
        self.decks: dict[bool, list[tuple[Attribute, bool, str]]] = {True: [], False: []}

    def case(self, number: int, *, tcp: bool) -> Case:
        """The case of a number, which is its namespace and address, too."""
        workload = Workload(
            f"set{number}",
            {"app": "forecast", "set": str(number)},
            f"{self.network}.{number // 200}.{number % 200 + 1}",
            self.ports[tcp],
        )
        target = self.call(tcp=tcp)
        policies = tuple(self.policies(workload, target))
        calls = [target, *(self.like(target) for _ in range(8)), self.call(tcp=tcp), self.call(tcp=tcp)]
        return Case(number, workload, policies, tuple(calls))

    # Calls

    def call(self, *, tcp: bool) -> Call:
        """Any call."""
        result = Call(tcp=tcp)
        for name in ROLLED:
            result = replace(result, **{name: self.roll(name)})
        return result

    def like(self, call: Call) -> Call:
        """A call that differs a little."""
        for name in self.random.sample(ROLLED, self.random.choice((1, 1, 2, 3))):
            call = replace(call, **{name: self.roll(name)})
        return call

    def roll(self, name: str) -> Any:
        """A value of one part of a call."""
        if name in CHOICES:
            return self.random.choice(CHOICES[name])
        made: Any = getattr(self, f"some_{name}")()
        return made

    def some_headers(self) -> dict[str, str]:
        """Headers that policies ask for, some of them."""
        pick = self.random.choice
        every = {"x-user": pick(("alice", "bob-2", "", "")), "x-team": pick(("blue-7", "red"))}
        kept = {key: value for key, value in every.items() if self.random.random() < 0.8}
        return kept | ({"x-ext-authz": "allow"} if self.random.random() < 0.5 else {})

    def some_metadata(self) -> dict[str, Any]:
        """What another filter leaves."""
        pick = self.random.choice
        every = {"kind": pick(("gold-1", "silver")), "tags": pick((("a-1", "c"), ("b-2",), ()))}
        return {key: value for key, value in every.items() if self.random.random() < 0.7}

    def some_token(self) -> Token | None:
        """A token, rarely a bad one."""
        token = self.random.choice((*TOKENS, *TOKENS[:2], None))
        if token is None or self.random.random() > 0.06:
            return token
        return replace(token, flaw=self.random.choice(FLAWS))

    # Policies

    def policies(self, workload: Workload, target: Call) -> Iterator[Policy]:
        """The policies of one set."""
        if self.random.random() < 0.8:
            yield self.authentication(workload)
        for number in range(self.random.choice((1, 1, 2, 3))):
            yield self.policy(workload, target, f"p{number}")

    def authentication(self, workload: Workload) -> Policy:
        """Which tokens are good."""
        rules = [{"issuer": issuer, "jwks": "KEYS"} for issuer in ISSUERS]
        if self.random.random() < 0.3:
            rules[1]["audiences"] = [AUDIENCE, "x"]  # type: ignore[assignment]
        return self.placed("RequestAuthentication", "tokens", workload, {"jwtRules": rules})

    def policy(self, workload: Workload, target: Call, name: str) -> Policy:
        """One AuthorizationPolicy."""
        action = self.random.choices(("ALLOW", "DENY", "AUDIT", "CUSTOM"), (55, 28, 7, 10))[0]
        spec: Policy = {"action": action} if action != "ALLOW" or self.random.random() < 0.5 else {}
        kind = self.random.random()
        if kind < 0.04 and action == "ALLOW":
            spec["rules"] = []
        elif kind < 0.07:
            spec["rules"] = [{}]
        else:
            spec["rules"] = [self.rule(workload, target) for _ in range(self.random.choice((1, 1, 2)))]
        if action == "CUSTOM":
            spec["provider"] = {"name": "gate"}
        result = self.placed("AuthorizationPolicy", name, workload, spec)
        if self.random.random() < 0.06 and action in ("ALLOW", "DENY"):
            result["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
        return result

    def placed(self, kind: str, name: str, workload: Workload, spec: Policy) -> Policy:
        """A policy in the workload's namespace or in the root namespace, for this workload or another."""
        scope = self.random.random()
        metadata = {"name": name, "namespace": workload.namespace}
        if scope < 0.15:
            metadata = {"name": f"{workload.namespace}-{name}", "namespace": ROOT}
            spec = spec | {"selector": {"matchLabels": {"set": workload.labels["set"]}}}
        elif scope < 0.3:
            spec = spec | {"selector": {"matchLabels": {"app": "forecast"}}}
        elif scope < 0.34:
            spec = spec | {"selector": {"matchLabels": {"app": "elsewhere"}}}
        return {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}

    def rule(self, workload: Workload, target: Call) -> Policy:
        """A rule that the target matches, or nearly."""
        rule: Policy = {}
        alternatives = self.random.choice((1, 1, 2))
        for number in range(alternatives):
            fits = self.random.random() < 0.75 if number == 0 else False
            for card in list(self.dealt(self.random.choice((1, 2, 2, 3)), tcp=target.tcp)):
                attribute, positive, form = card
                values = self.values(attribute, positive, form, fits, workload, target)
                if not added(rule, number, attribute, positive, values):
                    self.decks[target.tcp].insert(0, card)
        return tidied(rule)

    def dealt(self, count: int, *, tcp: bool) -> Iterator[tuple[Attribute, bool, str]]:
        """The next keys, signs and forms; on TCP mostly such as make sense there."""
        for _ in range(count):
            if not self.decks[tcp]:
                self.decks[tcp] = [
                    (a, sign, f) for a in ATTRIBUTES for sign in (True, False) for f in a.forms
                ]
                self.random.shuffle(self.decks[tcp])
            card = self.decks[tcp].pop()
            if tcp and card[0].http_only and self.random.random() < 0.7:
                continue
            yield card

    def values(
        self, attribute: Attribute, positive: bool, form: str, fits: bool, workload: Workload, target: Call
    ) -> list[str]:
        """Values of an attribute: whether the target satisfies the condition is `fits`, mostly."""
        found = attribute.value(target, workload)
        now = [found] if isinstance(found, str) else list(found) if isinstance(found, tuple) else []
        now = [each for each in now if each]
        others = [each for each in attribute.others if each not in now]
        chosen = [self.random.choice(now if fits == positive and now else others)]
        if len(others) > 1 and self.random.random() < 0.3:
            chosen.append(self.random.choice(others))
        result = [written(form, each) for each in chosen]
        return list(dict.fromkeys(result))


def added(rule: Policy, number: int, attribute: Attribute, positive: bool, values: list[str]) -> bool:
    """Write a condition into a rule; whether there was room for it."""
    if attribute.section == "when":
        return number == 0 and added_when(rule, attribute.key, "values" if positive else "notValues", values)
    outer, inner = ("from", "source") if attribute.section == "source" else ("to", "operation")
    every = rule.setdefault(outer, [])
    while len(every) <= number:
        every.append({inner: {}})
    message, name = every[number][inner], attribute.key if positive else attribute.negative
    if name in message or clashes(attribute.key, message):
        return False
    message[name] = values
    return True


def added_when(rule: Policy, key: str, sign: str, values: list[str]) -> bool:
    """Write a further condition."""
    every = rule.setdefault("when", [])
    there = next((each for each in every if each["key"] == key), None)
    if there is None:
        every.append({"key": key, sign: values})
    elif sign in there:
        return False
    else:
        there[sign] = values
    return True


def tidied(rule: Policy) -> Policy:
    """The rule without what says nothing."""
    inner = {"from": "source", "to": "operation"}
    for outer, name in inner.items():
        kept = [each for each in rule.pop(outer, []) if each[name]]
        if kept:
            rule[outer] = kept
    return rule


def clashes(key: str, message: Policy) -> bool:
    """`serviceAccounts` may not stand beside `principals` or `namespaces`."""
    there = {each[3].lower() + each[4:] if each.startswith("not") else each for each in message}
    if key == "serviceAccounts":
        return bool(there & {"principals", "namespaces"})
    return key in ("principals", "namespaces") and "serviceAccounts" in there
