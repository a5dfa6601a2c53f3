"""What is admitted, but will not do what somebody meant."""

from collections.abc import Iterable, Iterator, Mapping

from mesh.api.errors import Problem
from mesh.model import ConfigObject, ObjectKey
from mesh.rules.builder import Builder
from mesh.rules.expressions import Expression
from mesh.rules.resolve import Ruleset

LOWER = frozenset({"request.headers", "response.headers"})


def advice_on(obj: ConfigObject, found: Ruleset) -> Iterator[Problem]:
    """Doubts about an object, given the rules as they are with it."""
    if obj.key.kind == "rule":
        yield from rule_advice(obj, found)
    elif obj.key.kind == "QuotaSpec":
        yield from quota_advice(obj, found)
    else:
        builders = (each.builder for each in found.instances.values() if each.key == obj.key)
        for builder in builders:
            yield from instance_advice(obj, builder)


def rule_advice(obj: ConfigObject, found: Ruleset) -> Iterator[Problem]:
    """Headers in a rule's texts that no call can have."""
    for rule in found.rules:
        if rule.key != obj.key:
            continue
        yield from header_advice(obj.key, "spec.match", [rule.match] if rule.match else [])
        for path, headers in (
            ("spec.requestHeaderOperations", rule.request_headers),
            ("spec.responseHeaderOperations", rule.response_headers),
        ):
            yield from header_advice(obj.key, path, [value for each in headers for value in each.values])


def instance_advice(obj: ConfigObject, builder: Builder) -> Iterator[Problem]:
    """The same in an instance's."""
    path = "spec.params" if obj.key.kind == "instance" else "spec"
    yield from header_advice(obj.key, path, builder.group.expressions())


def header_advice(key: ObjectKey, path: str, expressions: Iterable[Expression]) -> Iterator[Problem]:
    """Names of headers that are not in small letters: attributes have them so."""
    names = sorted({pair for each in expressions for pair in each.headers})
    for attribute, name in names:
        if attribute in LOWER and name != name.lower():
            words = f'{attribute}["{name}"] is never there: names of headers are in small letters'
            yield Problem(key, path, words, f'write {attribute}["{name.lower()}"]')


def quota_advice(obj: ConfigObject, found: Ruleset) -> Iterator[Problem]:
    """Quotas that no rule sends to a handler: nothing is ever taken from them."""
    sent: Mapping[str, None] = dict.fromkeys(
        name for rule in found.rules for action in rule.actions for name in action.instances
    )
    rules = (rule for rule in found.quotas.known if rule.spec == obj.key)
    for quota in sorted({rule.quota for rule in rules} - set(sent)):
        words = f"no rule sends {quota} to a handler, so nothing is taken from it"
        yield Problem(obj.key, "spec.rules", words, "apply a rule with this instance")
