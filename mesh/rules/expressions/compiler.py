"""From a checked tree to Python closures, made once.

A closure takes a bag: `get(name)` and `entry(map, key)`, which give None for what is absent and note that
they were asked, and perhaps `has(name)`, which notes no more than whether an attribute is there.

Absence, as in Mixer since Istio 1.1: an attribute that is absent fails the expression unless `|` gives a
default; a key that is absent in a map that is present is the empty string, and absent for `|`.
"""

from mesh.rules.expressions.checker import COMPARISONS, LOGICAL, Types
from mesh.rules.expressions.closures import (
    COMPARE,
    Closure,
    added,
    all_of,
    any_of,
    attribute,
    attribute_is,
    called,
    caught,
    compared_to,
    conditional,
    entry,
    entry_by,
    first_of,
    globbed,
    looked_up,
    searched,
)
from mesh.rules.expressions.durations import duration
from mesh.rules.expressions.errors import EvaluationError, ExpressionError
from mesh.rules.expressions.functions import FUNCTIONS, SAME, regex
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node
from mesh.rules.types import ValueType as V


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
            if isinstance(left, Attribute) and node.name == "==":
                return attribute_is(left.name, other(None))
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
            if node.name == "match" and isinstance(node.arguments[1], Constant):
                return globbed(parts[0], str(node.arguments[1].value))
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
