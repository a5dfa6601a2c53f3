"""Mixer's attribute expressions: parsed, typed, compiled once to closures. No I/O."""

from mesh.rules.expressions.errors import Absent, EvaluationError, ExpressionError
from mesh.rules.expressions.expression import Expression, compile_expression
from mesh.rules.expressions.parser import parse
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node, walk

__all__ = [
    "Absent",
    "Attribute",
    "Call",
    "Constant",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Node",
    "compile_expression",
    "parse",
    "walk",
]
