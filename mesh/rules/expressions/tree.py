"""The tree of an expression; positions do not count when trees are compared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from mesh.rules.expressions.literals import quoted

OPERATORS = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "|": 4}
"""Binary operators with their precedence: as Go's, whose parser classic Mixer used."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. One of a duration is its text: whether it is one depends on what stands beside it."""

    value: str | int | float | bool
    position: int = field(default=1, compare=False)

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return quoted(self.value) if isinstance(self.value, str) else repr(self.value)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute by its dotted name."""

    name: str
    position: int = field(default=1, compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Call:
    """An operator (`[]` is one), function or method (whose target is the first argument)."""

    name: str
    arguments: "tuple[Node, ...]"
    method: bool = False
    position: int = field(default=1, compare=False)

    def __str__(self) -> str:
        parts = [str(each) for each in self.arguments]
        if self.name in OPERATORS:
            return f"({parts[0]} {self.name} {parts[1]})"
        if self.name == "!":
            return f"!({parts[0]})"
        if self.name == "[]":
            return f"{parts[0]}[{parts[1]}]"
        if self.method:
            return f"{parts[0]}.{self.name}({', '.join(parts[1:])})"
        return f"{self.name}({', '.join(parts)})"


Node: TypeAlias = Constant | Attribute | Call


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, without recursion: chains may be long."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, Call):
            waiting.extend(each.arguments)
