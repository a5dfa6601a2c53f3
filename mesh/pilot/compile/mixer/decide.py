"""What becomes of a rule at a place: what Envoy refuses itself, and which calls istio-policy is asked about.

As istio-policy goes through a rule, so does this: each instance in order, each handler by its static meaning.
Where Envoy cannot decide as istio-policy would, istio-policy is asked, about as few calls as can be told.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.pilot.compile.mixer import meanings
from mesh.pilot.compile.mixer.formula import NEVER, Formula, one_of
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.outcome import Reply
from mesh.pilot.compile.mixer.terms import NotHere
from mesh.pilot.compile.mixer.values import SURE, Truth, truth
from mesh.rules.resolve import RuleConfig, Ruleset
from mesh.rules.static import Budget
from mesh.rules.templates import Variety


@dataclass(frozen=True, slots=True)
class Step:
    """One decision, in order: calls under `when` are refused with `reply`, or istio-policy is asked (None).

    With a `budget` only those are refused that come when it is used up. `why` says what makes the question
    necessary.
    """

    rule: str
    when: Formula
    reply: Reply | None = None
    why: str = ""
    budget: Budget | None = None


def name_of(rule: RuleConfig) -> str:
    """`name.namespace`."""
    return f"{rule.key.name}.{rule.namespace}"


def checks(rules: Ruleset, mine: Iterable[RuleConfig], known: Known) -> tuple[Step, ...]:
    """The decisions of rules' checks at a place, in the order in which istio-policy takes them."""
    return tuple(step for rule in mine for step in steps(rules, rule, known))


def scoped(rules: Ruleset, known: Known, root_namespace: str) -> list[RuleConfig]:
    """The rules for calls here: the root namespace's first, each in order of names."""
    here = "" if known.place.gateway else known.place.namespace
    scopes = list(dict.fromkeys((root_namespace, here)))
    mine = [rule for rule in rules.rules if rule.namespace in scopes]
    return sorted(mine, key=lambda rule: (scopes.index(rule.namespace), rule.key.name))


def steps(rules: Ruleset, rule: RuleConfig, known: Known) -> Iterator[Step]:
    """What a rule's checks and header operations come to; those that never happen are left out."""
    wanted = [(action.handler, name) for action in rule.actions for name in action.instances]
    checks = [(handler, name) for handler, name in wanted if variety(rules, name) is Variety.CHECK]
    if not checks and not changes_headers(rule):
        return
    match = matched(rule, known)
    found = [Step(name_of(rule), match.doubt, why=f"match: {match.why}")]
    for names in checks:
        found += checked(rules, rule, names, match.yes, known)
    if changes_headers(rule):
        found.append(Step(name_of(rule), match.yes, why="it changes headers"))
    yield from (step for step in found if step.when != NEVER)


def matched(rule: RuleConfig, known: Known) -> Truth:
    """Whether a rule is for a call."""
    return SURE if rule.match is None else truth(rule.match.tree, known)


def changes_headers(rule: RuleConfig) -> bool:
    """Whether a rule has header operations."""
    return bool(rule.request_headers or rule.response_headers)


def variety(rules: Ruleset, instance: str) -> Variety:
    """When an instance is made."""
    return rules.instances[instance].template.variety


def checked(
    rules: Ruleset, rule: RuleConfig, names: tuple[str, str], when: Formula, known: Known
) -> Iterator[Step]:
    """What one instance at one handler comes to."""
    handler, instance = rules.handlers[names[0]], rules.instances[names[1]]
    try:
        outcome = meanings.outcome(handler, instance, known)
    except NotHere as error:
        yield Step(name_of(rule), when, why=str(error))
        return
    yield Step(name_of(rule), when & outcome.asked, why=outcome.why)
    for refused, reply in outcome.refusals:
        yield Step(name_of(rule), when & refused, reply)


def questions(found: Iterable[Step]) -> Formula:
    """Which calls istio-policy is asked about."""
    return one_of(step.when for step in found if step.reply is None)
