"""Istio's rules of authorization, evaluated directly on the YAML: what real Envoy is compared with.

Written from Istio's reference pages alone (AuthorizationPolicy, its conditions, RequestAuthentication).
Nothing of the compiler, nor of the typed models, is used here.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.pilot.authz.calls import ALIASES, TRUST_DOMAIN, Call, Workload

Policy = Mapping[str, Any]
ROOT = "istio-system"
HTTP_ONLY_SOURCE = {"requestPrincipals"}
HTTP_ONLY_OPERATION = {"hosts", "methods", "paths"}


@dataclass(frozen=True)
class Verdict:
    """What is to come: the status (0 for a connection that is closed), and the rules that may be named."""

    allowed: bool
    status: int
    rules: frozenset[str] = frozenset()


def verdict(policies: Sequence[Policy], workload: Workload, call: Call) -> Verdict:
    """What Istio says of a call to a workload."""
    here = [each for each in policies if applies(each, workload)]
    claims: Mapping[str, Any] | None = None
    if not call.tcp:
        rules = [r for p in here if p["kind"] == "RequestAuthentication" for r in p["spec"]["jwtRules"]]
        status, claims = token_check(rules, call)
        if status:
            return Verdict(False, status)
    facts = Facts(call, workload, claims)
    refused = 0 if call.tcp else 403
    custom = frozenset() if call.tcp else matching(here, "CUSTOM", facts)  # its provider speaks HTTP only
    if custom and call.headers.get("x-ext-authz") != "allow":
        return Verdict(False, refused, custom)
    denied = matching(here, "DENY", facts)
    if denied:
        return Verdict(False, refused, denied)
    if not any(action(each) == "ALLOW" and not dry(each) for each in here):
        return Verdict(True, 200)
    if matching(here, "ALLOW", facts):
        return Verdict(True, 200)
    return Verdict(False, refused, frozenset({"none"}))


def matching(policies: Iterable[Policy], wanted: str, facts: "Facts") -> frozenset[str]:
    """The names of the rules of an action that match."""
    return frozenset(
        f"ns[{each['metadata']['namespace']}]-policy[{each['metadata']['name']}]-rule[{number}]"
        for each in policies
        if action(each) == wanted and not dry(each)
        for number, rule in enumerate(each["spec"].get("rules") or [])
        if facts.match(rule, each)
    )


def action(policy: Policy) -> str:
    if policy["kind"] != "AuthorizationPolicy":
        return ""
    return str((policy.get("spec") or {}).get("action", "ALLOW"))


def dry(policy: Policy) -> bool:
    return (policy["metadata"].get("annotations") or {}).get("istio.io/dry-run") == "true"


def applies(policy: Policy, workload: Workload) -> bool:
    if policy["metadata"]["namespace"] not in (ROOT, workload.namespace):
        return False
    wanted = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return all(workload.labels.get(key) == value for key, value in wanted.items())


# Tokens


def token_check(rules: Sequence[Any], call: Call) -> tuple[int, Mapping[str, Any] | None]:
    """The status of a refusal (0: none), and the claims that policies see."""
    if not rules or call.token is None:
        return 0, None
    issuers = [rule for rule in rules if rule["issuer"] == call.token.claims["iss"]]
    if call.token.flaw in ("issuer", "expired") or not issuers:
        return 401, None
    audiences = call.token.claims.get("aud", [])
    shown = {audiences} if isinstance(audiences, str) else set(audiences)
    if not any(not rule.get("audiences") or shown & set(rule["audiences"]) for rule in issuers):
        return 403, None
    if call.token.flaw:
        return 401, None
    return 0, call.token.claims


# Rules


@dataclass(frozen=True)
class Facts:
    """What is true of a call."""

    call: Call
    workload: Workload
    claims: Mapping[str, Any] | None

    def match(self, rule: Mapping[str, Any] | None, policy: Policy) -> bool:
        """Whether a rule holds."""
        rule = rule or {}
        if self.call.tcp and action(policy) == "ALLOW" and http_only(rule):
            return False
        sources = [each.get("source") or {} for each in rule.get("from") or [{}]]
        operations = [each.get("operation") or {} for each in rule.get("to") or [{}]]
        return (
            any(self.fields(each, policy) for each in sources)
            and any(self.fields(each, policy) for each in operations)
            and all(self.when(each, policy) for each in rule.get("when") or [])
        )

    def fields(self, message: Mapping[str, Sequence[str]], policy: Policy) -> bool:
        """Whether all that `source` or `operation` says holds."""
        for name, values in message.items():
            positive = name[3].lower() + name[4:] if name.startswith("not") else name
            if self.call.tcp and positive in HTTP_ONLY_SOURCE | HTTP_ONLY_OPERATION:
                continue
            found = any(self.has(positive, value, policy) for value in values)
            if found == name.startswith("not"):
                return False
        return True

    def when(self, condition: Mapping[str, Any], policy: Policy) -> bool:
        """Whether a further condition holds."""
        key = condition["key"]
        if self.call.tcp and key.startswith("request."):
            return True
        values, others = condition.get("values") or [], condition.get("notValues") or []
        if values and not any(self.has(key, value, policy) for value in values):
            return False
        return not any(self.has(key, value, policy) for value in others)

    def has(self, key: str, value: str, policy: Policy) -> bool:
        """Whether the attribute is such."""
        name = key[key.index("[") + 1 : -1] if key.endswith("]") else ""
        plain: dict[str, Callable[[str], bool]] = {
            "principals": self.principal,
            "source.principal": self.principal,
            "requestPrincipals": self.request_principal,
            "request.auth.principal": self.request_principal,
            "namespaces": self.namespace,
            "source.namespace": self.namespace,
            "ipBlocks": lambda v: within(self.call.source, v),
            "source.ip": lambda v: within(self.call.source, v),
            "remoteIpBlocks": lambda v: within(self.remote, v),
            "remote.ip": lambda v: within(self.remote, v),
            "hosts": lambda v: text(v.lower(), self.call.host.lower()),
            "methods": lambda v: text(v, self.call.method),
            "paths": lambda v: path(v, self.call.path.partition("?")[0]),
            "ports": self.port,
            "destination.port": self.port,
            "destination.ip": lambda v: within(self.workload.address, v),
            "connection.sni": lambda v: text(v, self.call.server_name or ""),
            "request.auth.audiences": lambda v: self.claim(("aud",), v),
            "request.auth.presenter": lambda v: self.claim(("azp",), v),
        }
        if key in plain:
            return plain[key](value)
        if key in ("serviceAccounts", "source.serviceAccount"):
            return self.account(value, policy["metadata"]["namespace"])
        if key.startswith("request.headers["):
            return self.header(name, value)
        if key.startswith("request.auth.claims["):
            return self.claim(tuple(name.split("][")), value)
        if key.startswith("experimental.envoy.filters."):
            return self.metadata(name, value)
        raise AssertionError(f"the oracle does not know {key}")

    @property
    def remote(self) -> str:
        forwarded = self.call.forwarded
        return forwarded.rpartition(",")[2].strip() if forwarded and not self.call.tcp else self.call.source

    def port(self, value: str) -> bool:
        return int(value) == self.workload.ports[self.call.port]

    def principal(self, value: str) -> bool:
        return self.call.identity is not None and any(
            text(meant, self.call.identity) for meant in in_all_domains(value)
        )

    def namespace(self, value: str) -> bool:
        if self.call.identity is None:
            return False
        return fnmatch(value, self.call.identity.split("/")[2])

    def account(self, value: str, home: str) -> bool:
        if self.call.identity is None:
            return False
        _, _, namespace, _, name = self.call.identity.split("/")
        wanted = value if "/" in value else f"{home}/{value}"
        return wanted == f"{namespace}/{name}"

    def request_principal(self, value: str) -> bool:
        if not self.claims or not self.claims.get("iss") or not self.claims.get("sub"):
            return False
        return text(value, f"{self.claims['iss']}/{self.claims['sub']}")

    def claim(self, names: tuple[str, ...], value: str) -> bool:
        found: Any = self.claims or {}
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        if names[0] in ("scope", "permission") and isinstance(found, str):
            found = found.split()
        if isinstance(found, str):
            return text(value, found)
        return isinstance(found, list) and any(isinstance(x, str) and text(value, x) for x in found)

    def header(self, name: str, value: str) -> bool:
        found = {key.lower(): each for key, each in self.call.headers.items()}.get(name.lower())
        return found is not None and (value == "*" or text(value, found))

    def metadata(self, key: str, value: str) -> bool:
        found = None if self.call.tcp else self.call.metadata.get(key)
        if value.startswith("[") and value.endswith("]"):
            return isinstance(found, tuple) and any(text(value[1:-1], each) for each in found)
        return isinstance(found, str) and text(value, found)


def http_only(rule: Mapping[str, Any]) -> bool:
    """Whether a rule asks for what only HTTP has."""

    def names(section: str, inner: str) -> set[str]:
        every = (each.get(inner) or {} for each in rule.get(section) or [])
        return {n[3].lower() + n[4:] if n.startswith("not") else n for each in every for n in each}

    return bool(
        names("from", "source") & HTTP_ONLY_SOURCE
        or names("to", "operation") & HTTP_ONLY_OPERATION
        or any(each["key"].startswith("request.") for each in rule.get("when") or [])
    )


# Texts


def text(form: str, found: str) -> bool:
    """`*` something, `*x` ends with, `x*` begins with, else equal."""
    if form == "*":
        return found != ""
    if form.startswith("*"):
        return found.endswith(form[1:])
    if form.endswith("*"):
        return found.startswith(form[:-1])
    return found == form


def fnmatch(form: str, found: str) -> bool:
    """`*` anywhere."""
    return re.fullmatch(".*".join(map(re.escape, form.split("*"))), found) is not None


def path(form: str, found: str) -> bool:
    """A text, or a template: `{*}` is one segment, `{**}` any number of them."""
    if "{*}" not in form and "{**}" not in form:
        return text(form, found)
    pieces = re.split(r"(\{\*\*?\})", form)
    each = {"{*}": "[^/]+", "{**}": ".*"}
    return re.fullmatch("".join(each.get(piece, re.escape(piece)) for piece in pieces), found) is not None


def within(address: str, block: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)


def in_all_domains(principal: str) -> list[str]:
    """A principal of this mesh, under each name that the mesh has."""
    domain, slash, rest = principal.partition("/")
    ours = (TRUST_DOMAIN, *ALIASES)
    if slash and rest.count("/") == 3 and domain in ours:
        return [f"{each}/{rest}" for each in ours]
    return [principal]
