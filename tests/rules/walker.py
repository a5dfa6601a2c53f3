"""Another evaluator of expressions, to hold the compiled ones against: it walks the tree, slowly and plainly.

It shares the parser and the texts of errors with what is tested, and nothing of types, closures or functions.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mesh.rules.expressions import Absent, Attribute, Call, Constant, EvaluationError, Node
from mesh.rules.types import ValueType

UNITS = {"h": 3600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}
GIVES = {
    "match": "BOOL", "matches": "BOOL", "startsWith": "BOOL", "endsWith": "BOOL", "ip": "IP_ADDRESS",
    "timestamp": "TIMESTAMP", "toLower": "STRING", "reverse": "STRING", "size": "INT64", "[]": "STRING",
    "emptyStringMap": "STRING_MAP",
}  # fmt: skip


class Walker:
    """Evaluates trees over attributes."""

    def __init__(self, values: Mapping[str, Any], types: Mapping[str, ValueType]) -> None:
        self.values, self.types = values, types

    def evaluate(self, node: Node, wanted: str = "") -> Any:
        """The value; raises as the compiled expression should."""
        wanted = wanted or self.kind(node)
        if isinstance(node, Constant):
            return micros(node.value) if wanted == "DURATION" else node.value
        if isinstance(node, Attribute):
            if self.values.get(node.name) is None:
                raise Absent(node.name)
            return self.values[node.name]
        inner = node.arguments
        if node.name == "|":
            left = self.perhaps(inner[0], wanted)
            return self.evaluate(inner[1], wanted) if left is None else left
        if node.name == "conditional":
            return self.evaluate(inner[1] if self.evaluate(inner[0]) else inner[2], wanted)
        if node.name == "[]":
            return self.evaluate(inner[0]).get(self.evaluate(inner[1]), "")
        return self.operator(node)

    def perhaps(self, node: Node, wanted: str) -> Any:
        """The value, or None where it is absent."""
        try:
            if isinstance(node, Call) and node.name == "[]":
                held, key = node.arguments
                return self.evaluate(held).get(self.evaluate(key))
            if isinstance(node, Call) and node.name == "|":
                left = self.perhaps(node.arguments[0], wanted)
                return self.perhaps(node.arguments[1], wanted) if left is None else left
            return self.evaluate(node, wanted)
        except Absent:
            return None

    def operator(self, node: Call) -> Any:
        name, inner = node.name, node.arguments
        if name == "!":
            return not self.evaluate(inner[0])
        if name == "&&":
            return bool(self.evaluate(inner[0])) and bool(self.evaluate(inner[1]))
        if name == "||":
            return bool(self.evaluate(inner[0])) or bool(self.evaluate(inner[1]))
        if name in GIVES:
            return DOES[name](*[self.evaluate(each) for each in inner])
        kind = self.common(*inner)
        left, right = self.evaluate(inner[0], kind), self.evaluate(inner[1], kind)
        if name == "+":
            return left + right if kind != "INT64" else overflowed(left + right)
        return compared(name, left, right)

    def kind(self, node: Node) -> str:
        if isinstance(node, Constant):
            names = {str: "STRING", bool: "BOOL", int: "INT64", float: "DOUBLE"}
            return names[type(node.value)]
        if isinstance(node, Attribute):
            return str(self.types[node.name])
        if node.name in GIVES:
            return GIVES[node.name]
        if node.name in ("|", "+", "conditional"):
            return self.common(*node.arguments[-2:])
        return "BOOL"

    def common(self, left: Node, right: Node) -> str:
        kinds = [self.kind(left), self.kind(right)]
        return "DURATION" if "DURATION" in kinds else kinds[0]


def compared(name: str, left: Any, right: Any) -> bool:
    if name in ("==", "!="):
        return bool(left == right) is (name == "==")
    less = left < right
    return bool({"<": less, ">": right < left, "<=": less or left == right, ">=": not less}[name])


def matched(text: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return text[: len(pattern) - 1] == pattern[:-1]
    if pattern.startswith("*"):
        return ends(text, pattern[1:])
    return text == pattern


def ends(text: str, end: str) -> bool:
    return not end or text[-len(end) :] == end


def micros(text: Any) -> timedelta:
    parts = re.findall(r"(\d+)([a-z]+)", text)
    return timedelta(microseconds=sum(int(number) * UNITS[unit] for number, unit in parts))


def overflowed(number: int) -> int:
    while number >= 2**63:
        number -= 2**64
    while number < -(2**63):
        number += 2**64
    return number


def address(text: str) -> bytes:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise EvaluationError from None
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).packed


DOES: Mapping[str, Any] = {
    "match": matched,
    "matches": lambda pattern, text: bool(re.search(pattern, text)),
    "startsWith": lambda text, start: text[: len(start)] == start,
    "endsWith": ends,
    "ip": address,
    "timestamp": datetime.fromisoformat,
    "toLower": lambda text: "".join(each.lower() for each in text),
    "reverse": lambda text: "".join(reversed(text)),
    "size": lambda text: len(text.encode()),
    "emptyStringMap": dict,
}
