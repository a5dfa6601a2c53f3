"""Which type each part of an expression has; a fault names its position, what was found, what is expected.

Each part is looked at once. A string literal such as "10ms" is elastic: beside a DURATION it is one.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.rules.expressions.durations import duration
from mesh.rules.expressions.errors import ExpressionError
from mesh.rules.expressions.functions import FUNCTIONS
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node
from mesh.rules.types import ValueType as V

ORDERED = (V.STRING, V.INT64, V.DOUBLE, V.TIMESTAMP, V.DURATION)
ADDED = (V.STRING, V.INT64, V.DOUBLE)
EQUAL = tuple(each for each in V if each is not V.STRING_MAP)
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
LOGICAL = frozenset({"&&", "||", "!"})


@dataclass(slots=True)
class Types:
    """The types of all parts of one expression, by identity of their nodes."""

    text: str
    attributes: Mapping[str, V]
    of: dict[int, V] = field(default_factory=dict)
    elastic: set[int] = field(default_factory=set)

    def fault(self, node: Node, message: str, remedy: str = "") -> ExpressionError:
        """A fault at a node."""
        return ExpressionError(self.text, node.position, message, remedy)

    def check(self, node: Node, wanted: V | None = None) -> V:
        """The type of a node; raises `ExpressionError`, also if it is not the wanted one."""
        found = self.of[id(node)] = self._type(node)
        return found if wanted is None else self.become(node, wanted)

    def become(self, node: Node, wanted: V) -> V:
        """See that a node that was checked has the wanted type, which an elastic one takes."""
        found = self.of[id(node)]
        if found is wanted or (wanted is V.DURATION and id(node) in self.elastic):
            return wanted
        raise self.fault(
            node, f"{_short(node)} is {found} where {wanted} is expected", _remedy(node, found, wanted)
        )

    def _type(self, node: Node) -> V:
        if isinstance(node, Constant):
            return self._constant(node)
        if isinstance(node, Attribute):
            return self._attribute(node)
        if node.name in COMPARISONS or node.name in ("|", "+"):
            return self._operator(node)
        return self._call(node)

    def _call(self, node: Call) -> V:
        if node.name in LOGICAL:
            for each in node.arguments:
                self.check(each, V.BOOL)
            return V.BOOL
        if node.name == "[]":
            self.check(node.arguments[0], V.STRING_MAP)
            return self.check(node.arguments[1], V.STRING)
        if node.name == "conditional" and not node.method:
            self._count(node, 3)
            self.check(node.arguments[0], V.BOOL)
            return self._common(node, node.arguments[1], node.arguments[2])
        return self._function(node)

    def _constant(self, node: Constant) -> V:
        if isinstance(node.value, str):
            if duration(node.value) is not None:
                self.elastic.add(id(node))
            return V.STRING
        kinds: dict[type, V] = {bool: V.BOOL, int: V.INT64, float: V.DOUBLE}
        return kinds[type(node.value)]

    def _attribute(self, node: Attribute) -> V:
        if node.name in self.attributes:
            return self.attributes[node.name]
        near = difflib.get_close_matches(node.name, self.attributes, n=1)
        raise self.fault(
            node,
            f"{node.name[:80]!r} is not an attribute",
            f"did you mean {near[0]}?" if near else "use one of the vocabulary, or add an attributemanifest",
        )

    def _operator(self, node: Call) -> V:
        name = node.name
        found = self._common(node, *node.arguments)
        if name == "|":
            return found
        allowed = ADDED if name == "+" else EQUAL if name in ("==", "!=") else ORDERED
        if found not in allowed:
            raise self.fault(node, f"{name} does not take {found}", f"it takes {', '.join(allowed)}")
        if name == "+":
            return found
        return V.BOOL

    def _common(self, node: Call, left: Node, right: Node) -> V:
        """The one type of two sides. The result is elastic if both are, for `|` and `conditional`."""
        found = self.check(left)
        other = self.check(right)
        if found is not other and V.DURATION in (found, other):
            return self.become(left, V.DURATION) and self.become(right, V.DURATION)
        self.become(right, found)
        if node.name in ("|", "conditional") and {id(left), id(right)} <= self.elastic:
            self.elastic.add(id(node))
        return found

    def _function(self, node: Call) -> V:
        function = FUNCTIONS.get(node.name)
        if function is None:
            names = (*FUNCTIONS, "conditional")
            near = difflib.get_close_matches(node.name, names, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"functions are {', '.join(names)}"
            raise self.fault(node, f"{node.name[:80]!r} is not a function", remedy)
        if function.method is not node.method:
            form = f"a method: value.{node.name}(...)" if function.method else f"a function: {node.name}(...)"
            raise self.fault(node, f"{node.name} is {form}")
        self._count(node, len(function.takes))
        for each, kind in zip(node.arguments, function.takes, strict=True):
            self.check(each, kind)
        return function.gives

    def _count(self, node: Call, wanted: int) -> None:
        found, less = len(node.arguments), int(node.method)
        if found != wanted:
            some = "argument" if wanted - less == 1 else "arguments"
            raise self.fault(node, f"{node.name} takes {wanted - less} {some}, not {found - less}")


def _short(node: Node) -> str:
    text = str(node) if not isinstance(node, Call) else f"{node.name} here"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _remedy(node: Node, found: V, wanted: V) -> str:
    if wanted is V.DURATION and isinstance(node, Constant):
        return 'write a duration like "10ms"'
    if wanted is V.STRING and isinstance(node, Constant):
        return f'put it in quotes: "{node}"'
    if found is V.STRING_MAP and wanted is V.STRING:
        return f'name a key: {node}["..."]'
    if wanted is V.IP_ADDRESS and found is V.STRING:
        return f"write ip({node})"
    if wanted is V.TIMESTAMP and found is V.STRING:
        return f"write timestamp({node})"
    return ""
