"""The attributes of one call, as expressions read them; and a bag that notes what was read.

A reference is an attribute's name, or a pair: a map attribute and a key, or an attribute and None: whether it
is there at all. What was absent is noted as None,
because its absence decided as well (the check cache's key, as in classic Mixer).
"""

from collections.abc import Mapping
from typing import Any

Reference = str | tuple[str, str | None]


class Bag:
    """Values by attribute; None is an attribute that is absent."""

    __slots__ = ("get", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.get = values.get

    def __repr__(self) -> str:
        return f"<Bag of {len(self.values)} attributes>"

    def has(self, name: str) -> bool:
        """Whether an attribute is there."""
        return self.values.get(name) is not None

    def entry(self, map_name: str, key: str) -> Any:
        """The value of a key in an attribute that is a map; None if either is absent."""
        found = self.values.get(map_name)
        return None if found is None else found.get(key)


class Recording:
    """A bag that notes each reference in `references`, with the value that was found.

    `outputs` are further values, for which no note is taken: what actions gave (`<action>.output.<key>`).
    """

    __slots__ = ("outputs", "references", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.references: dict[Reference, Any] = {}
        self.outputs: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Recording bag, {len(self.references)} of {len(self.values)} attributes read>"

    def get(self, name: str) -> Any:
        """The value of an attribute, or None."""
        if name in self.outputs:
            return self.outputs[name]
        value = self.references[name] = self.values.get(name)
        return value

    def has(self, name: str) -> bool:
        """Whether an attribute is there; no more than that is noted."""
        found = self.references[name, None] = self.values.get(name) is not None
        return found

    def entry(self, map_name: str, key: str) -> Any:
        """The value of a key in an attribute that is a map; None if either is absent."""
        found = self.values.get(map_name)
        value = self.references[map_name, key] = None if found is None else found.get(key)
        return value


def value_of(values: Mapping[str, Any], reference: Reference) -> Any:
    """What a reference finds among `values`, as something that can be a key; None if it is absent."""
    if isinstance(reference, str):
        return hashable(values.get(reference))
    found = values.get(reference[0])
    if reference[1] is None:
        return found is not None
    return None if found is None else found.get(reference[1])


def hashable(value: Any) -> Any:
    """A value of an attribute as something that can be a key: maps as sets of their items."""
    if isinstance(value, Mapping):
        return frozenset((key, hashable(each)) for key, each in value.items())
    return value
