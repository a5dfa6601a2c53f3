"""Mixer's attribute expressions: parsed, typed, compiled once to closures. No I/O.

As in Istio 1.6: Go's operators and literals, `|` for the first that is there, sums of INT64 that overflow
as Go's, an absent key of a map as the empty string. More lenient than Istio in four things: `!` and `reverse`
are there; what is absent on the left of `|`, also within a function or a sum, gives its right side; a literal
like "10ms" is a DURATION only beside one; durations can be compared.
"""

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
