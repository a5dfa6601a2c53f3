"""Which way each of Mixer's rules goes at the proxies that are connected, and why.

`compiled`: Envoy decides itself. `call`: istio-policy is asked. `partly`: the one at some places or for some
calls, the other for the rest. `report`: istio-telemetry does it after calls. `nowhere`: nothing comes of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from mesh.model import Proxy, ProxyKind
from mesh.pilot.compile import Compiler
from mesh.pilot.compile import mixer as checks
from mesh.pilot.compile.listeners import inbound
from mesh.pilot.compile.mixer.decide import Step, name_of
from mesh.pilot.compile.mixer.filters import decided, how_checked
from mesh.pilot.compile.peers import modes
from mesh.pilot.mixer.ruleset import asking, ruleset
from mesh.pilot.reader import Reader
from mesh.pilot.scope import scope_of
from mesh.pilot.snapshot import Snapshot
from mesh.rules.resolve import RuleConfig, Ruleset

ALL_PORTS = "*"


@dataclass(slots=True)
class Way:
    """What becomes of one rule. Places are `pod.namespace:port`."""

    rule: str
    namespace: str
    way: str = "nowhere"
    why: str = ""
    compiled: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Visit:
    """A place of a proxy: whether calls are checked there, why (not), and what is decided."""

    place: str
    enabled: bool
    why: str
    steps: tuple[Step, ...]


def plan(snapshot: Snapshot, compiler: Compiler, proxies: Iterable[Proxy]) -> list[dict[str, Any]]:
    """The way of every rule, by namespace and name, as plain values; those with problems too."""
    rules: Ruleset = compiler.query(snapshot, ruleset)
    visits = [
        visit
        for proxy in proxies
        for visit in compiler.query(snapshot, visited, proxy)
        if proxy.kind is not ProxyKind.AGENT
    ]
    asked = {name_of(rule) for rule in asking(rules)}
    found = [way_of(rule, visits, reports=name_of(rule) not in asked) for rule in rules.rules]
    found += list(broken(rules))
    return [asdict(each) for each in sorted(found, key=lambda each: (each.namespace, each.rule))]


def way_of(rule: RuleConfig, visits: list[Visit], *, reports: bool) -> Way:
    """What becomes of a rule that can be followed."""
    result = Way(rule.key.name, rule.namespace)
    if reports:
        result.way, result.why = "report", "istio-telemetry does it after calls"
        return result
    mine = [(visit, step) for visit in visits for step in visit.steps if step.rule == name_of(rule)]
    on = [(visit, step) for visit, step in mine if visit.enabled]
    result.compiled = unique(visit.place for visit, step in on if step.reply is not None)
    result.called = unique(visit.place for visit, step in on if step.reply is None)
    reasons = unique(step.why for _, step in on if step.reply is None)
    if not on:
        result.why = nowhere(mine, visits)
    elif not result.called:
        result.way, result.why = "compiled", "Envoy knows all that its match and its handlers need"
    else:
        result.way, result.why = "partly" if result.compiled else "call", "; ".join(reasons)
    return result


def nowhere(mine: list[tuple[Visit, Step]], visits: list[Visit]) -> str:
    """Why nothing comes of a rule at the proxies that are connected."""
    if mine:
        return f"calls are not checked: {'; '.join(unique(visit.why for visit, _ in mine))}"
    if not visits:
        return "no proxy is connected that receives calls"
    return "it matches no workload that runs, takes from no quota that is bound, or never refuses"


def broken(rules: Ruleset) -> Iterator[Way]:
    """Rules that cannot be followed."""
    for key in unique(each.object for each in rules.problems if each.object.kind == "rule"):
        faults = [each for each in rules.problems if each.object == key]
        why = "; ".join(f"{each.path}: {each.message}" for each in faults)
        yield Way(key.name, key.namespace, why=why)


def unique(given: Iterable[Any]) -> list[Any]:
    """Without repetitions, in order."""
    return list(dict.fromkeys(given))


def visited(read: Reader, proxy: Proxy) -> tuple[Visit, ...]:
    """The places of a proxy."""
    return tuple(
        Visit(f"{proxy.id}:{place.port or ALL_PORTS}", how.enabled, how.why, read.ask(decided, place))
        for place in places(read, proxy)
        for how in (how_checked(read, place),)
    )


def places(read: Reader, proxy: Proxy) -> Iterator[checks.Place]:
    """Where a proxy could check calls; of a gateway one, since all of its ports are alike."""
    scope = read.ask(scope_of, proxy)
    if proxy.kind is ProxyKind.ROUTER:
        yield checks.Place(proxy.namespace, scope.facts, gateway=True)
        return
    found = read.ask(modes, scope.client.namespace, scope.labels)
    for way in inbound.ways_of(scope.inbound, found):
        taken = way.takes()
        if any(each.http for each in taken):
            yield inbound.checked(scope, way, inbound.spoken(way))
        if not all(each.http for each in taken):
            yield inbound.checked(scope, way, "tcp")
