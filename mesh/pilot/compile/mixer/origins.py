"""The objects behind the filters of a place, so that who applies one can wait for what it became."""

from collections.abc import Iterator

from mesh.model import ObjectKey
from mesh.pilot.compile.mixer.decide import Step, name_of, scoped
from mesh.pilot.compile.mixer.filters import decided, how_checked
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.place import Place
from mesh.pilot.mixer.ruleset import ruleset
from mesh.pilot.reader import Reader
from mesh.rules.resolve import RuleConfig, Ruleset


def origins(read: Reader, place: Place) -> tuple[ObjectKey, ...]:
    """Rules that come to something at a place, their handlers and instances, and QuotaSpecs."""
    steps = read.ask(decided, place) if read.mixer() and how_checked(read, place).enabled else ()
    return read.ask(behind, place, steps) if steps else ()


def behind(read: Reader, place: Place, steps: tuple[Step, ...]) -> tuple[ObjectKey, ...]:
    """What decisions were made from, each object once."""
    rules, known = read.ask(ruleset), Known(place)
    names = {step.rule for step in steps}
    mine = [rule for rule in scoped(rules, known, read.mesh.root_namespace) if name_of(rule) in names]
    found = [key for rule in mine for key in of_rule(rules, rule)]
    wanted = {name for rule in mine for action in rule.actions for name in action.instances}
    bound = rules.quotas.for_destination(place.host, "" if place.gateway else place.namespace)
    specs = (each.spec for each in bound if each.quota in wanted)
    return tuple(dict.fromkeys((*found, *specs)))


def of_rule(rules: Ruleset, rule: RuleConfig) -> Iterator[ObjectKey]:
    """A rule, its handlers and its instances."""
    yield rule.key
    for action in rule.actions:
        yield rules.handlers[action.handler].key
        yield from (rules.instances[name].key for name in action.instances)
