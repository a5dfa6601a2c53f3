"""S6, S7: real Envoy, with what Pilot compiles, decides as Istio's rules say: over generated policy sets and
calls, with real mutual TLS and really signed tokens.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pilot.authz.attributes import ATTRIBUTES, Attribute, form_of
from tests.pilot.authz.generate import Case
from tests.pilot.authz.matrix import Played, cases, play, served

pytestmark = pytest.mark.behaviour("S6", "S7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def matrix(folder: Path) -> list[Played]:
    every = cases()
    return play(every, served(every), folder)


def test_envoy_answers_as_istios_rules_say(matrix: list[Played]) -> None:
    wrong = [str(each) for each in matrix if not each.agrees]
    assert not wrong, f"{len(wrong)} of {len(matrix)} differ, for example:\n" + "\n".join(wrong[:3])


def test_there_are_enough_sets_and_calls(matrix: list[Played]) -> None:
    assert len({each.case.number for each in matrix}) >= 200
    assert len(matrix) >= 2000
    assert len({(each.case.number, repr(each.call)) for each in matrix}) >= 2000


@pytest.mark.parametrize("tcp", [False, True], ids=["HTTP", "TCP"])
def test_allowed_and_denied_are_each_at_least_30_percent(matrix: list[Played], tcp: bool) -> None:
    found = Counter(each.verdict.allowed for each in matrix if each.call.tcp is tcp)
    assert min(found[True], found[False]) >= 0.3 * found.total(), found


@pytest.mark.parametrize("tcp", [False, True], ids=["HTTP", "TCP"])
def test_every_key_its_negation_and_each_form_appears(matrix: list[Played], tcp: bool) -> None:
    there = {mark for each in unique(matrix) if each.calls[0].tcp is tcp for mark in marks(each)}
    wanted = {
        (attribute.key, sign, form)
        for attribute in ATTRIBUTES
        if not (tcp and attribute.http_only)
        for sign in (True, False)
        for form in attribute.forms
    }
    assert wanted <= there, sorted(wanted - there)


@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_keys_of_http_are_asked_of_connections_that_are_not(matrix: list[Played], action: str) -> None:
    there = {key for each in unique(matrix) if each.calls[0].tcp for key, _, _ in marks(each, action)}
    assert len(there & {each.key for each in ATTRIBUTES if each.http_only}) >= 5, there


def test_every_action_and_every_kind_of_placement_appears(matrix: list[Played]) -> None:
    policies = [policy for case in unique(matrix) for policy in case.policies]
    assert {each["spec"].get("action", "ALLOW") for each in policies} == {"ALLOW", "DENY", "AUDIT", "CUSTOM"}
    assert {each["metadata"]["namespace"] == "istio-system" for each in policies} == {True, False}
    assert {"selector" in each["spec"] for each in policies} == {True, False}
    assert any(each["spec"].get("rules") == [] for each in policies)
    assert any(each["spec"].get("rules") == [{}] for each in policies)
    assert any("annotations" in each["metadata"] for each in policies)


def test_a_refused_request_tells_the_policy_and_the_rule(matrix: list[Played]) -> None:
    refused = [each for each in matrix if not each.call.tcp and each.verdict.rules]
    for each in refused:
        if each.answer.details == "ext_authz_denied":
            continue
        begin, _, name = each.answer.details.rstrip("]").partition("[")
        assert begin == "rbac_access_denied_matched_policy", str(each)
        assert any(name.rstrip("]") == rule.rstrip("]") for rule in each.verdict.rules), str(each)
    assert len(refused) > 300


def test_a_closed_connection_tells_the_policy_and_the_rule(matrix: list[Played], folder: Path) -> None:
    lines = (folder / "ends.log").read_text().splitlines()
    ends = dict(line.split(" ", 1) for line in lines)
    refused = [each for each in matrix if each.call.tcp and not each.verdict.allowed]
    for each in refused:
        told = ends[each.answer.ends]
        assert any(f"rbac_access_denied_matched_policy[{rule}]" == told for rule in each.verdict.rules), told
    assert len(refused) > 100


# What is in a set


def unique(matrix: list[Played]) -> list[Case]:
    return list({each.case.number: each.case for each in matrix}.values())


def marks(case: Case, action: str = "") -> Iterator[tuple[str, bool, str]]:
    """Key, sign and form of all that the policies of a set say."""
    for policy in case.policies:
        if action in ("", policy["spec"].get("action", "ALLOW")):
            for rule in policy["spec"].get("rules", []):
                yield from marks_of(rule)


def marks_of(rule: dict[str, Any]) -> Iterator[tuple[str, bool, str]]:
    for attribute in ATTRIBUTES:
        for sign, values in said(rule, attribute):
            for value in values:
                yield attribute.key, sign, form_of(value, attribute)


def said(rule: dict[str, Any], attribute: Attribute) -> Iterator[tuple[bool, list[str]]]:
    """What a rule says of an attribute, by sign."""
    if attribute.section == "when":
        for each in rule.get("when", []):
            if each["key"] == attribute.key:
                yield True, each.get("values", [])
                yield False, each.get("notValues", [])
        return
    outer = {"source": "from", "operation": "to"}[attribute.section]
    for each in rule.get(outer, []):
        yield True, each[attribute.section].get(attribute.key, [])
        yield False, each[attribute.section].get(attribute.negative, [])
