"""What compiled expressions are made of: closures over a bag of attributes.

Each saves the calls that it can: a match is evaluated for every call in the mesh.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mesh.rules.expressions.errors import Absent
from mesh.rules.expressions.functions import found_in, wrapped
from mesh.rules.types import ValueType as V

Closure: TypeAlias = Callable[[Any], Any]
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip


def attribute(name: str) -> Closure:
    """Looks an attribute up."""

    def look(bag: Any) -> Any:
        found = bag.get(name)
        if found is None:
            raise Absent(name)
        return found

    return look


def attribute_is(name: str, constant: Any) -> Closure:
    """Whether an attribute has a value."""

    def check(bag: Any) -> bool:
        found = bag.get(name)
        if found is None:
            raise Absent(name)
        return bool(found == constant)

    return check


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
    return lambda bag: found_in(pattern, text(bag))


def globbed(text: Closure, pattern: str) -> Closure:
    """`match` with a constant pattern."""
    if pattern.endswith("*"):
        start = pattern[:-1]
        return lambda bag: text(bag).startswith(start)
    if pattern.startswith("*"):
        end = pattern[1:]
        return lambda bag: text(bag).endswith(end)
    return lambda bag: text(bag) == pattern


def called(does: Callable[..., Any], parts: list[Closure]) -> Closure:
    """A call of a function."""
    if len(parts) == 1:
        only = parts[0]
        return lambda bag: does(only(bag))
    if len(parts) == 2:
        first, second = parts
        return lambda bag: does(first(bag), second(bag))
    return lambda bag: does(*[part(bag) for part in parts])
