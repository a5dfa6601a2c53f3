"""How rules name handlers and instances, and what is meant.

Source: classic Mixer: `name`, `name.namespace`, `name.kind`, `name.kind.namespace`; the namespace of who
names it is taken where none is given.
"""

import difflib
from collections.abc import Iterable
from typing import Generic, TypeVar

from mesh.api.errors import Problem
from mesh.model import ObjectKey

NEWER = ("handler", "instance")
NOWHERE = "there is no "
T = TypeVar("T")


def handler_name(key: ObjectKey) -> str:
    """`name.namespace`; of older kinds `name.kind.namespace`."""
    return f"{key.name}.{key.namespace}" if key.kind in NEWER else f"{key.name}.{key.kind}.{key.namespace}"


def instance_name(key: ObjectKey) -> str:
    """`name.kind.namespace`, as classic Mixer calls instances."""
    return f"{key.name}.{key.kind}.{key.namespace}"


class Names(Generic[T]):
    """Objects by all the names that they can be called by."""

    def __init__(self, objects: Iterable[tuple[ObjectKey, T]]) -> None:
        self._found: dict[str, T] = {}
        self._keys: list[ObjectKey] = []
        # Newer kinds first: a short name means them where an older object has it too.
        for key, value in sorted(objects, key=lambda each: (each[0].kind not in NEWER, each[0])):
            self._keys.append(key)
            for spelling in spellings(key):
                self._found.setdefault(spelling, value)

    def find(self, reference: str, namespace: str) -> T | None:
        """What is meant by a reference within a namespace; None if there is no such thing."""
        return self._found.get(f"{reference}.{namespace}", self._found.get(reference))

    def near(self, reference: str, namespace: str) -> str:
        """What to do about a reference that leads nowhere."""
        short = [
            key.name if key.namespace == namespace else f"{key.name}.{key.namespace}" for key in self._keys
        ]
        close = difflib.get_close_matches(reference, short, n=1)
        if close:
            return f"did you mean {close[0]}?"
        return "apply it before the rule" + (f"; there are {', '.join(sorted(short)[:5])}" if short else "")


def spellings(key: ObjectKey) -> tuple[str, str]:
    """The names of an object that hold wherever they are written."""
    return f"{key.name}.{key.kind}.{key.namespace}", f"{key.name}.{key.namespace}"


def missing(what: str, name: str) -> str:
    """What is said of a reference that leads nowhere."""
    return f"{NOWHERE}{what} {name} that can be used"


def leads_nowhere(problem: Problem) -> bool:
    """Whether a problem is that another object is not there, or not yet."""
    return problem.message.startswith(NOWHERE)
