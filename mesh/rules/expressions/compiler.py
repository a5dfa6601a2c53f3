"""From a checked tree to Python closures, made once.

A closure takes a bag: `get(name)` and `entry(map, key)`, which give None for what is absent and note that
they were asked, and perhaps `has(name)`, which notes no more than whether an attribute is there.

Absence, as in Mixer since Istio 1.1: an attribute that is absent fails the expression unless `|` gives a
default; a key that is absent in a map that is present is the empty string, and absent for `|`.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from mesh.rules.expressions.checker import COMPARISONS, LOGICAL, Types
from mesh.rules.expressions.durations import duration
from mesh.rules.expressions.errors import Absent, EvaluationError, ExpressionError
from mesh.rules.expressions.functions import FUNCTIONS, SAME, regex, wrapped
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node
from mesh.rules.types import ValueType as V

Closure: TypeAlias = Callable[[Any], Any]
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
EMPTY_MAP: Final[Mapping[str, str]] = {}


class Compiler:
    """Makes the closures of one expression whose types are known."""

    def __init__(self, types: Types) -> None:
        self.types = types

    def value(self, node: Node, wanted: V) -> Closure:
        """What evaluates a node as the wanted type; it raises `Absent` or `EvaluationError`."""
        if isinstance(node, Constant):
            constant = duration(node.value) if wanted is V.DURATION else node.value
            return lambda bag: constant
        if isinstance(node, Attribute):
            return attribute(node.name)
        if node.name in LOGICAL:
            return self.logical(node)
        return self.comparison(node) if node.name in COMPARISONS else self.call(node, wanted)

    def call(self, node: Call, wanted: V) -> Closure:
        """Other operators and functions; `|`, `+` and `conditional` hand the wanted type down."""
        inner = node.arguments
        match node.name:
            case "[]":
                return self.index(node, default="")
            case "|":
                return first_of(self.optional(inner[0], wanted), self.value(inner[1], wanted))
            case "+":
                return added(self.value(inner[0], wanted), self.value(inner[1], wanted), wanted)
            case "conditional":
                return conditional(self.value(inner[0], V.BOOL), *(self.value(i, wanted) for i in inner[1:]))
        return self.function(node)

    def optional(self, node: Node, wanted: V) -> Closure:
        """What evaluates the left side of `|`: None if it is absent."""
        if isinstance(node, Attribute):
            name = node.name
            return lambda bag: bag.get(name)
        if isinstance(node, Call) and node.name == "[]":
            return self.index(node, default=None)
        if isinstance(node, Call) and node.name == "|":
            left, right = (self.optional(each, wanted) for each in node.arguments)
            return lambda bag: found if (found := left(bag)) is not None else right(bag)
        inner = self.value(node, wanted)
        return inner if isinstance(node, Constant) else caught(inner)

    def logical(self, node: Call) -> Closure:
        """And, or, not."""
        if node.name == "!":
            one = self.value(node.arguments[0], V.BOOL)
            return lambda bag: not one(bag)
        # A chain of one operator is a loop, not a tower of calls.
        parts = tuple(self.value(each, V.BOOL) for each in chain(node))
        if len(parts) == 2:
            left, right = parts
            if node.name == "&&":
                return lambda bag: left(bag) and right(bag)
            return lambda bag: left(bag) or right(bag)
        return all_of(parts) if node.name == "&&" else any_of(parts)

    def comparison(self, node: Call) -> Closure:
        """Equality and order of two sides of one type."""
        left, right = node.arguments
        kinds = {self.types.of[id(left)], self.types.of[id(right)]}
        kind = V.DURATION if V.DURATION in kinds else self.types.of[id(left)]
        one, other, does = self.value(left, kind), self.value(right, kind), COMPARE[node.name]
        if kind in SAME:
            same = SAME[kind]
            return lambda bag: does(same(one(bag)), same(other(bag)))
        if isinstance(right, Constant):
            return compared_to(one, other(None), node.name)
        return lambda bag: does(one(bag), other(bag))

    def index(self, node: Call, *, default: str | None) -> Closure:
        """A key of a map; noted by itself when the map is an attribute, with or without an empty default."""
        held, key = node.arguments
        source = attribute_of(held)
        if source is None:
            return looked_up(self.value(held, V.STRING_MAP), self.value(key, V.STRING), default)
        name, strict = source.name, source is held
        if isinstance(key, Constant):
            constant = str(key.value)
            if default is None:
                return lambda bag: bag.entry(name, constant)
            return entry(name, constant, strict=strict)
        return entry_by(name, self.value(key, V.STRING), strict=strict, default=default)

    def function(self, node: Call) -> Closure:
        """A function of the table; one of constants alone is evaluated now, and its fault is the text's."""
        function = FUNCTIONS[node.name]
        parts = [self.value(each, kind) for each, kind in zip(node.arguments, function.takes, strict=True)]
        try:
            if node.arguments and all(isinstance(each, Constant) for each in node.arguments):
                result = function.does(*[part(None) for part in parts])
                return lambda bag: result
            if node.name == "matches" and isinstance(node.arguments[0], Constant):
                return searched(regex(str(node.arguments[0].value)), parts[1])
        except EvaluationError as error:
            raise ExpressionError(self.types.text, node.arguments[0].position, str(error)) from None
        return called(function.does, parts)


def chain(node: Call) -> list[Node]:
    """The parts of `a && b && c`, in order."""
    parts: list[Node] = []
    here: Node = node
    while isinstance(here, Call) and here.name == node.name:
        here, last = here.arguments
        parts.append(last)
    return [here, *reversed(parts)]


def attribute_of(node: Node) -> Attribute | None:
    """The attribute that a map is: `a`, or `a | emptyStringMap()`."""
    if isinstance(node, Attribute):
        return node
    if isinstance(node, Call) and node.name == "|":
        left, right = node.arguments
        if isinstance(left, Attribute) and isinstance(right, Call) and right.name == "emptyStringMap":
            return left
    return None


def attribute(name: str) -> Closure:
    """Looks an attribute up."""

    def look(bag: Any) -> Any:
        found = bag.get(name)
        if found is None:
            raise Absent(name)
        return found

    return look


def present(bag: Any, name: str) -> bool:
    """Whether an attribute is there, noting as little as the bag can."""
    has = getattr(bag, "has", None)
    return bool(has(name)) if has is not None else bag.get(name) is not None


def entry(name: str, key: str, *, strict: bool) -> Closure:
    """A constant key of an attribute; `strict`: the attribute itself must be there."""

    def look(bag: Any) -> Any:
        found = bag.entry(name, key)
        if found is None:
            if strict and not present(bag, name):
                raise Absent(name)
            return ""
        return found

    return look


def entry_by(name: str, key: Closure, *, strict: bool, default: str | None) -> Closure:
    """A computed key of an attribute."""

    def look(bag: Any) -> Any:
        try:
            found = bag.entry(name, key(bag))
        except Absent:
            if default is None:
                return None
            raise
        if found is None and default is not None and strict and not present(bag, name):
            raise Absent(name)
        return default if found is None else found

    return look


def looked_up(held: Closure, key: Closure, default: str | None) -> Closure:
    """A key of a map that is no attribute."""

    def look(bag: Any) -> Any:
        try:
            return held(bag).get(key(bag), default)
        except Absent:
            if default is None:
                return None
            raise

    return look


def first_of(left: Closure, right: Closure) -> Closure:
    """The first that is present."""

    def choose(bag: Any) -> Any:
        found = left(bag)
        return right(bag) if found is None else found

    return choose


def caught(inner: Closure) -> Closure:
    """None where something in it is absent."""

    def maybe(bag: Any) -> Any:
        try:
            return inner(bag)
        except Absent:
            return None

    return maybe


def conditional(test: Closure, yes: Closure, no: Closure) -> Closure:
    """One of two; the other is not evaluated."""
    return lambda bag: yes(bag) if test(bag) else no(bag)


def added(left: Closure, right: Closure, kind: V) -> Closure:
    """A sum of numbers, or two texts together."""
    if kind is V.INT64:
        return lambda bag: wrapped(left(bag) + right(bag))
    return lambda bag: left(bag) + right(bag)


def compared_to(one: Closure, constant: Any, name: str) -> Closure:
    """A comparison with a constant."""
    if name == "==":
        return lambda bag: one(bag) == constant
    if name == "!=":
        return lambda bag: one(bag) != constant
    does = COMPARE[name]
    return lambda bag: does(one(bag), constant)


def all_of(parts: tuple[Closure, ...]) -> Closure:
    """Whether all hold; stops at the first that does not."""

    def check(bag: Any) -> bool:
        for part in parts:  # noqa: SIM110 - a generator for all() would cost as much as the parts
            if not part(bag):
                return False
        return True

    return check


def any_of(parts: tuple[Closure, ...]) -> Closure:
    """Whether one holds; stops at the first that does."""

    def check(bag: Any) -> bool:
        for part in parts:  # noqa: SIM110 - as above
            if part(bag):
                return True
        return False

    return check


def searched(pattern: Any, text: Closure) -> Closure:
    """Whether a compiled pattern is found."""
    search = pattern.search
    return lambda bag: search(text(bag)) is not None


def called(does: Callable[..., Any], parts: list[Closure]) -> Closure:
    """A call of a function."""
    if len(parts) == 1:
        only = parts[0]
        return lambda bag: does(only(bag))
    if len(parts) == 2:
        first, second = parts
        return lambda bag: does(first(bag), second(bag))
    return lambda bag: does(*[part(bag) for part in parts])
