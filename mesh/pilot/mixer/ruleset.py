"""Mixer's rules as Pilot sees them: put together once for each version of the configuration.

A change of one rule puts them together again, but only what comes out differently goes on from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mesh.pilot.mixer.settings import COMPILE
from mesh.pilot.reader import Reader
from mesh.rules.names import handler_name
from mesh.rules.registry import adapters
from mesh.rules.resolve import RuleConfig, Ruleset, resolve
from mesh.rules.templates import Variety

SIDE = "destination."
LABELS = "destination.labels"
ELSEWHERE = ("destination.service", "destination.port", "destination.namespace", "destination.principal")
"""What follows from the port and the namespace alone."""


@dataclass(frozen=True, slots=True)
class References:
    """What rules refer to of the workload that is called: attributes, and keys of its labels."""

    attributes: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.attributes or self.labels)


def ruleset(read: Reader) -> Ruleset:
    """All rules with what they name."""
    return resolve(read.mixer(), adapters())


def counting(read: Reader) -> frozenset[str]:
    """The handlers that let proxies count quotas of one workload alone."""
    return frozenset(
        handler_name(each.key) for each in read.mixer() if each.annotations.get(COMPILE, "").lower() == "true"
    )


def asking(rules: Ruleset) -> tuple[RuleConfig, ...]:
    """The rules that decide about calls: they check, keep a quota or change headers."""
    return rules.serving(Variety.CHECK, Variety.QUOTA)


def references(read: Reader) -> References:
    """What the rules that decide about calls refer to of the workload that is called."""
    if not read.mixer():
        return References()
    rules = read.ask(ruleset)
    every = asking(rules)
    names = {name for rule in every for name in attributes(rules, rule)}
    keys = {key for rule in every for source, key in rules.keys(rule) if source == LABELS}
    mine = (each for each in names if each.startswith(SIDE) and not each.startswith(ELSEWHERE))
    return References(frozenset(mine), frozenset(keys))


def attributes(rules: Ruleset, rule: RuleConfig) -> Iterator[str]:
    """The attributes that a rule and its instances refer to."""
    if rule.match is not None:
        yield from rule.match.attributes
    for action in rule.actions:
        for name in action.instances:
            yield from rules.instances[name].builder.references
