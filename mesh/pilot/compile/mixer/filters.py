"""The filters of a place, in the order in which istio-policy would decide: what Envoy refuses itself before
the first question, the question, what Envoy refuses itself after it.

A call that istio-policy is asked about is decided by it alone, by all rules in their order; so what follows
the question only meets calls for which no question was needed.
"""

from dataclasses import dataclass

from envoy.config.listener.v3 import listener_components_pb2

from mesh.model import ObjectKey, authorization
from mesh.pilot.compile.mixer import compiled, external, limits, removal
from mesh.pilot.compile.mixer.checked import Checked
from mesh.pilot.compile.mixer.decide import Step, questions, scoped
from mesh.pilot.compile.mixer.decide import checks as checks_of
from mesh.pilot.compile.mixer.formula import ALWAYS, NEVER, Formula
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.place import Place
from mesh.pilot.compile.mixer.quotas import quotas
from mesh.pilot.mixer.ruleset import counting, ruleset
from mesh.pilot.mixer.settings import Checks, checks
from mesh.pilot.reader import Reader
from mesh.rules.removal import wanted


@dataclass(frozen=True, slots=True)
class Order:
    """Decisions with their numbers, before and after the first question; and which calls are asked about."""

    before: tuple[tuple[int, Step], ...]
    asked: Formula
    after: tuple[tuple[int, Step], ...]
    counted: tuple[tuple[int, Step], ...] = ()

    @property
    def refusals(self) -> tuple[tuple[int, Step], ...]:
        """All that Envoy refuses itself."""
        return (*self.before, *self.after)


def ordered(steps: tuple[Step, ...]) -> Order:
    """Decisions, parted at the first question."""
    first = next((index for index, step in enumerate(steps) if step.reply is None), len(steps))
    every = [(index, step) for index, step in enumerate(steps) if step.reply is not None]
    mine = [pair for pair in every if pair[1].budget is None]
    before = tuple(pair for pair in mine if pair[0] < first)
    after = tuple(pair for pair in mine if pair[0] > first)
    return Order(before, questions(steps), after, tuple(pair for pair in every if pair[1].budget))


def http_filters(read: Reader, place: Place) -> Checked:
    """For requests."""
    how = how_checked(read, place)
    steps = read.ask(decided, place) if how.enabled and read.mixer() else ()
    if not steps:
        return Checked()
    order, extensions = ordered(steps), place.extensions()
    filters = [*compiled.http(order.before)]
    if order.asked != NEVER:
        gate = () if order.asked == ALWAYS else (compiled.http_gate(order.asked),)
        noted = compiled.noted(authorization.HTTP_RBAC) if gate else None
        filters += [*gate, external.http(how, extensions, noted)]
        if wanted(read.ask(ruleset).rules):
            filters.append(removal.http())
    filters += [*compiled.http(order.after), *limits.http(order.counted)]
    return Checked(
        tuple(filters),
        (*compiled.replies(order.refusals), *limits.replies(order.counted)),
        {} if order.asked == NEVER else extensions,
    )


def tcp_filters(read: Reader, place: Place) -> tuple[listener_components_pb2.Filter, ...]:
    """For connections that are not HTTP."""
    how = how_checked(read, place)
    steps = read.ask(decided, place) if how.enabled and read.mixer() else ()
    order = ordered(steps)
    filters = [*compiled.tcp(order.before)]
    if order.asked != NEVER:
        gate = () if order.asked == ALWAYS else (compiled.tcp_gate(order.asked),)
        noted = compiled.noted(authorization.TCP_RBAC) if gate else None
        filters += [*gate, external.tcp(how, place.extensions(), noted)]
    return (*filters, *compiled.tcp(order.after))


def how_checked(read: Reader, place: Place) -> Checks:
    """What settings and annotations say."""
    namespace = read.object(ObjectKey("Namespace", "", place.namespace))
    return checks(read.mesh, namespace.annotations if namespace else {}, place.facts)


def decided(read: Reader, place: Place) -> tuple[Step, ...]:
    """What becomes of the rules at a place; the same as before for as long as they mean the same there."""
    service = read.service(place.host) if place.host else None
    rules, known = read.ask(ruleset), Known(place, service)
    mine = scoped(rules, known, read.mesh.root_namespace)
    found = checks_of(rules, mine, known)
    asked = questions(found) != NEVER
    return (*found, *quotas(rules, mine, known, read.ask(counting), asked=asked))
