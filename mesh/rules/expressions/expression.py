"""An expression, parsed, checked and compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mesh.rules.expressions.checker import Types
from mesh.rules.expressions.compiler import Compiler, attribute_of
from mesh.rules.expressions.errors import ExpressionError
from mesh.rules.expressions.parser import parse
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node, walk
from mesh.rules.types import ValueType
from mesh.rules.vocabulary import ATTRIBUTES

LONGEST = 16 * 1024
"""Characters of an expression."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression of one type. `attributes` and `headers` are what it may refer to.

    `headers` are pairs of a map attribute and a constant key; `evaluate` takes a bag (see `compiler`) and
    raises `Absent` or `EvaluationError`.
    """

    text: str
    type: ValueType
    attributes: frozenset[str]
    headers: frozenset[tuple[str, str]]
    tree: Node
    evaluate: Callable[[Any], Any] = field(repr=False, compare=False)


def compile_expression(
    text: str, attributes: Mapping[str, ValueType] = ATTRIBUTES, expected: ValueType | None = None
) -> Expression:
    """An expression of the expected type (None: any). Raises `ExpressionError`."""
    if attributes is ATTRIBUTES:
        return _standard(text, expected)
    return compiled(text, attributes, expected)


@lru_cache(maxsize=16384)
def _standard(text: str, expected: ValueType | None) -> Expression:
    """Of the standard vocabulary; kept, because rules are put together again whenever one changes."""
    return compiled(text, ATTRIBUTES, expected)


def compiled(text: str, attributes: Mapping[str, ValueType], expected: ValueType | None) -> Expression:
    """Parse, check, compile."""
    if len(text) > LONGEST:
        raise ExpressionError(
            text, LONGEST, f"is longer than {LONGEST} characters", "split it into several rules"
        )
    tree = parse(text)
    types = Types(text, attributes)
    kind = types.check(tree, expected)
    evaluate = Compiler(types).value(tree, kind)
    return Expression(text, kind, names(tree), keys(tree), tree, evaluate)


def names(tree: Node) -> frozenset[str]:
    """The attributes that a tree speaks of."""
    return frozenset(each.name for each in walk(tree) if isinstance(each, Attribute))


def keys(tree: Node) -> frozenset[tuple[str, str]]:
    """The constant keys of attributes that a tree speaks of."""
    found: set[tuple[str, str]] = set()
    for each in walk(tree):
        if isinstance(each, Call) and each.name == "[]" and isinstance(each.arguments[1], Constant):
            source = attribute_of(each.arguments[0])
            if source is not None:
                found.add((source.name, str(each.arguments[1].value)))
    return frozenset(found)
