"""Which of many rules a call is put to: those that its attributes rule out at once are passed over.

A match that begins with equalities (`a == "x" && m["k"] == "y" && ...`) fails at the first of them that does
not hold, and has referred to those up to there. Calls that are alike in them are put to the same rules, so a
plan is made once for all of these; it notes the very references that going through every match would have.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from mesh.rules.expressions import Expression
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node
from mesh.rules.types import ValueType

FEWEST = 8
"""Rules below which a plan saves nothing."""

PROBES = 16
"""Attributes and keys that plans go by, at most: those that most rules begin with."""

PLANS = 256
"""Plans kept; the oldest goes first."""

PLAIN: Mapping[ValueType, type] = {ValueType.STRING: str, ValueType.INT64: int}


@dataclass(frozen=True, slots=True)
class Probe:
    """An attribute, or a key of one that is a map, and what it may be compared with."""

    name: str
    key: str | None = None

    def value(self, values: Mapping[str, Any]) -> Any:
        """What a call has; None if it is absent."""
        found = values.get(self.name)
        return found if self.key is None or found is None else found.get(self.key)

    def matches(self, bag: Any) -> bool:
        """Refer to it as a match does that fails here."""
        if self.key is None:
            bag.get(self.name)
        elif bag.entry(self.name, self.key) is None:
            bag.has(self.name)
        return False


Equality: TypeAlias = tuple[Probe, str | int]


class Ruled(Protocol):
    """What is selected."""

    def matches(self, bag: Any) -> bool:
        """Whether it is for a call."""


R = TypeVar("R", bound=Ruled)


class Selection(Generic[R]):
    """Rules in order, with their matches. `types` are those of attributes."""

    def __init__(self, rules: Iterable[tuple[R, Expression | None]], types: Mapping[str, ValueType]) -> None:
        given = list(rules)
        self.rules = tuple(rule for rule, _ in given)
        begun = [() if match is None else tuple(equalities(match.tree, types)) for _, match in given]
        self._probes = most_used(begun) if len(given) >= FEWEST else ()
        self._begun = [leading(each, self._probes) for each in begun]
        self._known = {probe: constants(begun, probe) for probe in self._probes}
        self._plans: OrderedDict[tuple[Any, ...], tuple[Ruled, ...]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Selection of {len(self.rules)} rules by {len(self._probes)} attributes>"

    def __bool__(self) -> bool:
        return bool(self.rules)

    def matching(self, bag: Any) -> Iterator[R]:
        """The rules for a call, in order; each is looked at when the one before is done with."""
        for each in self._plan(bag.values) if self._probes else self.rules:
            if each.matches(bag):
                yield each  # type: ignore[misc]  # a Probe never matches

    def _plan(self, values: Mapping[str, Any]) -> tuple[Ruled, ...]:
        """What to look at for a call: rules, and references of those that are passed over."""
        found = tuple(
            [
                value if (value := probe.value(values)) in known else None
                for probe, known in self._known.items()
            ]
        )
        plan = self._plans.get(found)
        if plan is None:
            plan = self._plans[found] = tuple(self._planned(dict(zip(self._probes, found, strict=True))))
            if len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        return plan

    def _planned(self, found: Mapping[Probe, Any]) -> Iterator[Ruled]:
        noted: set[Probe] = set()
        for rule, begun in zip(self.rules, self._begun, strict=True):
            failed = next(
                (index for index, (probe, wanted) in enumerate(begun) if found[probe] != wanted), None
            )
            if failed is None:
                yield rule
                continue
            for probe, _ in begun[: failed + 1]:
                if probe not in noted:
                    noted.add(probe)
                    yield probe


def equalities(tree: Node, types: Mapping[str, ValueType]) -> Iterator[Equality]:
    """The equalities that a match begins with; what comes after anything else may not be reached."""
    for each in chained(tree):
        found = equality(each, types)
        if found is None:
            return
        yield found


def chained(tree: Node) -> list[Node]:
    """The parts of a chain of `&&`, in order, without recursion: chains may be long."""
    found: list[Node] = []
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Call) and each.name == "&&":
            waiting.extend(reversed(each.arguments))
        else:
            found.append(each)
    return found


def equality(node: Node, types: Mapping[str, ValueType]) -> Equality | None:
    """What is compared with which constant; None if it is anything else.

    An absent key of a map equals "", so that constant is left to the match itself.
    """
    if not isinstance(node, Call) or node.name != "==":
        return None
    one, other = node.arguments
    if isinstance(one, Constant):
        one, other = other, one
    if not isinstance(other, Constant) or not other.value or isinstance(other.value, bool | float):
        return None
    probe = probed(one, type(other.value), types)
    return None if probe is None else (probe, other.value)


def probed(node: Node, wanted: type, types: Mapping[str, ValueType]) -> Probe | None:
    """An attribute or a constant key of one, if its values are of the wanted type."""
    if isinstance(node, Attribute):
        kind = types.get(node.name)
        return Probe(node.name) if kind is not None and PLAIN.get(kind) is wanted else None
    if isinstance(node, Call) and node.name == "[]" and wanted is str:
        held, key = node.arguments
        if isinstance(held, Attribute) and isinstance(key, Constant) and held.name in types:
            return Probe(held.name, str(key.value))
    return None


def most_used(begun: Iterable[Iterable[Equality]]) -> tuple[Probe, ...]:
    """What most rules begin with."""
    counted = Counter(probe for each in begun for probe, _ in each)
    return tuple(probe for probe, _ in counted.most_common(PROBES))


def leading(begun: Iterable[Equality], probes: Iterable[Probe]) -> tuple[Equality, ...]:
    """The equalities up to the first that plans do not go by."""
    known = frozenset(probes)
    return tuple(takewhile(lambda each: each[0] in known, begun))


def constants(begun: Iterable[Iterable[Equality]], probe: Probe) -> frozenset[str | int]:
    """What rules compare it with; all other values are alike."""
    return frozenset(value for each in begun for one, value in each if one == probe)
