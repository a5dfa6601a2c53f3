"""The quotas that calls at a place take from: after all checks, and mostly by istio-policy, which counts them
for the whole mesh.
"""

from collections.abc import Iterable, Iterator

from mesh.pilot.compile.mixer import budgets
from mesh.pilot.compile.mixer.decide import Step, matched, name_of
from mesh.pilot.compile.mixer.formula import NEVER
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.terms import NotHere
from mesh.rules.resolve import QuotaRule, RuleConfig, Ruleset


def quotas(
    rules: Ruleset, mine: Iterable[RuleConfig], known: Known, local: frozenset[str], *, asked: bool
) -> Iterator[Step]:
    """The decisions about quotas. `local` are handlers that let proxies count; where istio-policy is `asked`
    anyway it counts, or calls would be counted twice.
    """
    place = known.place
    bound = rules.quotas.for_destination(place.host, "" if place.gateway else place.namespace)
    kept = list(keepers(rules, mine, {each.quota for each in bound}, known))
    for rule, handler, quota in kept:
        when = matched(rule, known)
        try:
            if asked or when.doubt != NEVER:
                raise NotHere(f"quota {quota} is counted by istio-policy, which is asked anyway")
            if len(kept) > 1 or place.protocol == "tcp":
                raise NotHere(f"quota {quota} is not the only one that requests take from")
            yield counted(rules, (rule, handler, quota), bound, known, local)
        except NotHere as error:
            yield Step(name_of(rule), when.may_hold, why=str(error))


def keepers(
    rules: Ruleset, mine: Iterable[RuleConfig], wanted: set[str], known: Known
) -> Iterator[tuple[RuleConfig, str, str]]:
    """Rules that may keep quotas which are wanted, with handler and instance."""
    for rule in mine:
        for action in rule.actions:
            for name in wanted.intersection(action.instances):
                if matched(rule, known).may_hold != NEVER:
                    yield rule, action.handler, name


def counted(
    rules: Ruleset,
    names: tuple[RuleConfig, str, str],
    bound: Iterable[QuotaRule],
    known: Known,
    local: frozenset[str],
) -> Step:
    """A quota that the proxy counts; `NotHere` if it cannot."""
    rule, handler, instance = names[0], rules.handlers[names[1]], rules.instances[names[2]]
    found = budgets.budget(handler, instance, bound, known, wanted=handler.name in local)
    reply = budgets.exhausted(handler, instance, found)
    return Step(name_of(rule), matched(rule, known).yes, reply, budget=found)
