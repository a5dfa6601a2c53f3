"""S7: the matrix would notice: each fault planted in the compiler makes Envoy differ from Istio's rules."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from envoy.config.rbac.v3 import rbac_pb2

from mesh.api.security import AuthorizationRule
from mesh.pilot.compile.authz import attributes, conditions, custom, filters, rbac, rules, selection, texts
from mesh.pilot.compile.authz.sides import Side
from mesh.pilot.compile.jwt import provider
from mesh.pilot.selection import applying
from tests.pilot.authz.generate import Case
from tests.pilot.authz.matrix import cases, play, served
from tests.pilot.authz.rig import Served

pytestmark = pytest.mark.behaviour("S6", "S7")

AT_ONCE = 15
"""Policy sets that are played together, of those that a fault changes at all, until one differs."""

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]


def turned(value: str, *, ignore_case: bool = False) -> texts.StringMatcher:
    """Prefix and suffix mixed up."""
    right = plainly(value, ignore_case=ignore_case)
    match right.WhichOneof("match_pattern"):
        case "prefix":
            return texts.StringMatcher(suffix=right.prefix, ignore_case=ignore_case)
        case "suffix":
            return texts.StringMatcher(prefix=right.suffix, ignore_case=ignore_case)
    return right


plainly = texts.text


def literal(value: str, *, ignore_case: bool = False) -> texts.StringMatcher:
    """`*` is taken for a text."""
    if value == "*":
        return texts.StringMatcher(exact="*")
    return plainly(value, ignore_case=ignore_case)


def of_action(every: Any, action: str) -> Any:
    """AUDIT is taken for DENY."""
    meant = {"AUDIT": (), "DENY": ("AUDIT", "DENY")}.get(action, (action,))
    return tuple(each for each in every if each.spec.action in meant)


def without_presence(name: str, value: str, *, ignore_case: bool = False) -> texts.HeaderMatcher:
    """A header that is there must have content."""
    return texts.HeaderMatcher(name=name, string_match=plainly(value, ignore_case=ignore_case))


def swapped(one: str, other: str) -> Mutation:
    """Two attributes mixed up."""

    def plant(patch: Patch) -> None:
        table = attributes.PRINCIPALS
        first, second = table[one], table[other]
        patch.setitem(table, one, second)
        patch.setitem(table, other, first)

    return plant


EMPTY = AuthorizationRule.model_validate({})

MUTATIONS: dict[str, Mutation] = {
    "prefix and suffix are swapped": lambda patch: patch.setattr(texts, "text", turned),
    "presence is taken as a text": lambda patch: patch.setattr(texts, "text", literal),
    "an empty header is no header": lambda patch: patch.setattr(texts, "header", without_presence),
    "not- is dropped": lambda patch: patch.setattr(Side, "negated", lambda side, one: one),
    "one condition is enough": lambda patch: patch.setattr(
        Side, "every", lambda side, many: Side.one_of(side, many or [side.everything()])
    ),
    "all values are needed": lambda patch: patch.setattr(Side, "one_of", Side.every),
    "when is forgotten": lambda patch: patch.setattr(conditions, "when", lambda rule: ()),
    "source.ip and remote.ip are swapped": swapped("source.ip", "remote.ip"),
    "audiences are taken from azp": swapped("request.auth.audiences", "request.auth.presenter"),
    "the scheme of identities is forgotten": lambda patch: patch.setattr(texts, "SPIFFE", ""),
    "namespaces match by their beginning": lambda patch: patch.setattr(
        texts, "namespace", lambda value: texts.regex(f".*/ns/{texts.wildcards(value)}.*")
    ),
    "an account's namespace is forgotten": lambda patch: patch.setattr(
        texts, "account", lambda value, home: texts.regex(f".*/sa/{value.rpartition('/')[2]}")
    ),
    "subjects of tokens are not looked at": lambda patch: patch.setattr(
        attributes, "both", lambda issuer, subject: attributes.token(attributes.claim(("iss",), issuer))
    ),
    "lists of claims are not looked into": lambda patch: patch.setattr(
        attributes, "plain_or_listed", attributes.plain
    ),
    "scopes are one text": lambda patch: patch.setattr(provider, "SPACE_DELIMITED", ()),
    "trust domains have no aliases": lambda patch: patch.setattr(
        rules, "expanded", lambda some, domains: some
    ),
    "blocks are one address": lambda patch: patch.setattr(
        attributes, "ip_network", lambda value, strict: ip_network(value.partition("/")[0])
    ),
    "ALLOW ignores keys that TCP lacks": lambda patch: patch.setattr(
        rbac, "Setting", lambda home, domains, tcp, narrow: rules.Setting(home, domains, tcp, narrow=False)
    ),
    "DENY drops rules with keys that TCP lacks": lambda patch: patch.setattr(
        rbac, "Setting", lambda home, domains, tcp, narrow: rules.Setting(home, domains, tcp, narrow=True)
    ),
    "DENY only notes": lambda patch: patch.setitem(rbac.ACTIONS, "DENY", rbac_pb2.RBAC.LOG),
    "AUDIT refuses": lambda patch: patch.setattr(filters, "of_action", of_action),
    "CUSTOM is passed over": lambda patch: patch.setattr(custom.Pair, "http", lambda pair: iter(())),
    "policies on trial are in force": lambda patch: patch.setattr(rbac, "on_trial", lambda policy: False),
    "an ALLOW policy without rules allows all": lambda patch: patch.setattr(
        rules, "never", lambda: rules.policy(EMPTY, rules.Setting("", ()))
    ),
    "policies of the root namespace are forgotten": lambda patch: patch.setattr(
        selection, "applying", partial(without_root, applying)
    ),
    "paths keep their query": lambda patch: patch.setitem(
        attributes.PERMISSIONS,
        "path",
        attributes.Attribute(
            lambda asked: rbac_pb2.Permission(header=texts.header(":path", asked.value)), http_only=True
        ),
    ),
}  # fmt: skip


def without_root(real: Callable[..., Any], *arguments: Any) -> Any:
    return tuple(
        tuple(each for each in some if each.namespace != "istio-system") for some in real(*arguments)
    )


@pytest.fixture(scope="module")
def healthy() -> tuple[list[Case], dict[str, Served]]:
    every = cases()
    return every, {each.name: each for each in served(every)}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_fault_is_caught(
    name: str, healthy: tuple[list[Case], dict[str, Served]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, right = healthy
    with monkeypatch.context() as patch:
        MUTATIONS[name](patch)
        changed = differing(served(every), right)
    chosen = [case for case in every if case.workload.namespace in changed]
    assert chosen, f"{name}: no policy set depends on it"
    assert any(noticed(some, changed, tmp_path) for some in parts(chosen)), f"{name}: nothing noticed"


def parts(chosen: list[Case]) -> Iterator[list[Case]]:
    return (chosen[first : first + AT_ONCE] for first in range(0, len(chosen), AT_ONCE))


def noticed(some: list[Case], changed: dict[str, Served], folder: Path) -> bool:
    """Whether Envoy with the fault differs from Istio's rules in one of these sets."""
    with TemporaryDirectory(dir=folder) as place:
        found = play(some, (changed[case.workload.namespace] for case in some), Path(place))
    return any(not each.agrees for each in found)


def differing(found: Iterable[Served], right: dict[str, Served]) -> dict[str, Served]:
    return {each.name: each for each in found if each.filters != right[each.name].filters}
