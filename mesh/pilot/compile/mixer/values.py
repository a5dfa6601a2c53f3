"""Expressions over what a call will bring, in part evaluated: what of them is known is decided now.

A value is a list of choices: under a condition (no two hold together) it is a constant, or a term that Envoy
can see. Under none of them it is absent. A truth is two conditions, when it holds and when it does not: under
neither it cannot be told, and then a rule is not for the call (see `BoundRule.matches` of Mixer). Where only
Mixer can decide a part, each of the two lies between bounds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mesh.pilot.compile.mixer.formula import ALWAYS, NEVER, Formula, every, one_of
from mesh.pilot.compile.mixer.known import ABSENT, Known
from mesh.pilot.compile.mixer.terms import Kind, NotHere, Term, Test, constant
from mesh.rules.expressions.compiler import attribute_of
from mesh.rules.expressions.tree import Attribute, Call, Constant, Node

TESTS = {"startsWith": Kind.PREFIX, "endsWith": Kind.SUFFIX}
LOGIC = frozenset({"&&", "||", "!", "==", "!="})
TRUTHS = LOGIC | {"matches", "startsWith", "endsWith", "match"}
LONGEST = 64  # choices of one value


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that is known."""

    value: Any


@dataclass(frozen=True, slots=True)
class Lowered:
    """A term in small letters."""

    term: Term

    def test(self, test: Test) -> Formula:
        """Whether it passes: the text is in small letters, or nothing does."""
        if test.kind is Kind.BLOCK or not test.value.isascii():
            raise NotHere("toLower is compared with ASCII texts")
        if test.kind is Kind.FOUND:
            raise NotHere("toLower and a regular expression together")
        if test.value != test.value.lower():
            return NEVER
        if test.kind in (Kind.EXACT, Kind.ANY_CASE):
            return self.term.test(Test(Kind.ANY_CASE, test.value))
        return self.term.test(Test(Kind.FOUND, in_any_case(test)))

    def present(self) -> Formula:
        """Whether there is a value."""
        return self.term.present()

    def operator(self) -> str:
        """No operator of Envoy's writes small letters."""
        raise NotHere("Envoy writes no value in small letters")


@dataclass(frozen=True, slots=True)
class Choice:
    """Under a condition, a value."""

    when: Formula
    what: Fixed | Term


Value = tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """When something surely holds, and when it surely does not; when it may hold, and may not hold.

    `why` says what only Mixer can decide, if the bounds differ.
    """

    yes: Formula
    no: Formula
    may_hold: Formula
    may_fail: Formula
    why: str = ""

    def __invert__(self) -> "Truth":
        return Truth(self.no, self.yes, self.may_fail, self.may_hold, self.why)

    @property
    def doubt(self) -> Formula:
        """Where only Mixer can tell whether it holds."""
        return self.may_hold & ~self.yes

    def exact(self) -> "Truth":
        """Itself; `NotHere` if Envoy cannot decide it."""
        if self.why and (self.may_hold, self.may_fail) != (self.yes, self.no):
            raise NotHere(self.why)
        return self


def certain(yes: Formula, no: Formula) -> Truth:
    """What Envoy can decide."""
    return Truth(yes, no, yes, no)


SURE = certain(ALWAYS, NEVER)


def truth(node: Node, known: Known) -> Truth:
    """An expression that is true or false."""
    try:
        if known.decides(node):
            return decided(known.value(node))
        if isinstance(node, Call) and node.name in TRUTHS:
            return logic(node, known) if node.name in LOGIC else test_of(node, known)
        return chosen(value(node, known))
    except NotHere as error:
        return Truth(NEVER, NEVER, ALWAYS, ALWAYS, str(error))


def logic(node: Call, known: Known) -> Truth:
    """And, or, not; whether two things are the same."""
    match node:
        case Call("&&", (left, right)):
            return both(truth(left, known), lambda: truth(right, known))
        case Call("||", (left, right)):
            return either(truth(left, known), lambda: truth(right, known))
        case Call("!", (inner,)):
            return ~truth(inner, known)
    left, right = node.arguments
    found = compared(value(left, known), value(right, known))
    return found if node.name == "==" else ~found


def test_of(node: Call, known: Known) -> Truth:
    """Whether a text passes a test."""
    match node:
        case Call("matches", (pattern, text)):
            return tested(value(text, known), Kind.FOUND, sure(pattern, known), known)
        case Call("startsWith" | "endsWith" as name, (text, end)):
            return tested(value(text, known), TESTS[name], sure(end, known), known)
        case Call("match", (text, pattern)):
            return tested(value(text, known), *globbed(sure(pattern, known)), known)
    raise NotHere(f"{node} can be evaluated by Mixer only")


def decided(found: Any) -> Truth:
    """What is known already; what is absent can never be told."""
    if found is ABSENT:
        return certain(NEVER, NEVER)
    return certain(constant(bool(found)), constant(not found))


def both(left: Truth, right: Callable[[], Truth]) -> Truth:
    """`&&`: the right side counts only where the left holds."""
    if left.may_hold == NEVER:
        return left
    other = right()
    return Truth(
        left.yes & other.yes,
        left.no | (left.yes & other.no),
        left.may_hold & other.may_hold,
        left.may_fail | (left.may_hold & other.may_fail),
        left.why or other.why,
    )


def either(left: Truth, right: Callable[[], Truth]) -> Truth:
    """`||`: the right side counts only where the left does not hold."""
    if left.may_fail == NEVER:
        return left
    other = right()
    return Truth(
        left.yes | (left.no & other.yes),
        left.no & other.no,
        left.may_hold | (left.may_fail & other.may_hold),
        left.may_fail & other.may_fail,
        left.why or other.why,
    )


def chosen(found: Value) -> Truth:
    """A value that is true or false itself."""
    if not all(isinstance(each.what, Fixed) for each in found):
        raise NotHere("a truth value of the request")
    sides = [[each.when for each in found if each.what == Fixed(side)] for side in (True, False)]
    return certain(one_of(sides[0]), one_of(sides[1]))


# Values


def value(node: Node, known: Known, *, optional: bool = False) -> Value:
    """An expression's value; `NotHere` if Envoy does not see what it is made of.

    A key that a map lacks is the empty string; if `optional`, on the left side of `|`, it is absent.
    """
    if known.decides(node) and not (optional and isinstance(node, Call) and node.name in ("[]", "|")):
        found = known.value(node)
        return () if found is ABSENT else (Choice(ALWAYS, Fixed(found)),)
    found = tuple(choices(node, known, optional=optional))
    if len(found) > LONGEST:
        raise NotHere(f"a value with more than {LONGEST} cases")
    return found


def choices(node: Node, known: Known, *, optional: bool) -> Iterator[Choice]:
    """The choices of a value that is not known as a whole."""
    match node:
        case Attribute(name):
            yield from seen(name, known)
        case Call("[]", (held, Constant(str() as key))):
            yield from entries(held, key, known, optional=optional)
        case Call("|", (left, right)):
            first = value(left, known, optional=True)
            yield from first
            missing = ~one_of(each.when for each in first)
            if missing != NEVER:
                yield from narrowed(value(right, known, optional=optional), missing)
        case Call("conditional", (condition, one, other)):
            found = truth(condition, known).exact()
            yield from narrowed(value(one, known), found.yes)
            yield from narrowed(value(other, known), found.no)
        case Call("toLower", (inner,)):
            yield from (Choice(each.when, lowered(each.what)) for each in value(inner, known))
        case Call(name) if name in TRUTHS:
            found = truth(node, known).exact()
            yield Choice(found.yes, Fixed(True))
            yield Choice(found.no, Fixed(False))
        case _:
            raise NotHere(f"{node} can be evaluated by Mixer only")


def entries(held: Node, key: str, known: Known, *, optional: bool) -> Iterator[Choice]:
    """A key of a map."""
    source = attribute_of(held)
    if source is None or source.name != "request.headers":
        yield from known_entry(source.name if source else str(held), key, known, optional=optional)
        return
    term = known.header(key)
    yield Choice(term.present(), term)
    if not optional:
        yield Choice(~term.present(), Fixed(""))


def known_entry(name: str, key: str, known: Known, *, optional: bool) -> Iterator[Choice]:
    """A key of a map that is known."""
    if not known.has_entries(name):
        raise NotHere(f"{name} is known to Mixer only")
    found = known.entry(name, key)
    if found is not None or (not optional and known.has(name)):
        yield Choice(ALWAYS, Fixed(found or ""))


def seen(name: str, known: Known) -> Iterator[Choice]:
    """An attribute of the call."""
    if name in ("context.protocol", "api.protocol"):
        grpc = known.header("content-type").test(Test(Kind.PREFIX, "application/grpc"))
        yield Choice(grpc, Fixed("grpc"))
        yield Choice(~grpc, Fixed("http"))
    elif name == "connection.mtls":
        shown = known.term("source.principal").present()
        yield Choice(shown, Fixed(True))
        yield Choice(~shown, Fixed(False))
    else:
        term = known.term(name)
        yield Choice(term.present(), term)


def narrowed(found: Value, when: Formula) -> Iterator[Choice]:
    """The choices that remain under a further condition."""
    for each in found:
        condition = every((when, each.when))
        if condition != NEVER:
            yield Choice(condition, each.what)


def lowered(what: Fixed | Term) -> Fixed | Term:
    """In small letters."""
    return Fixed(str(what.value).lower()) if isinstance(what, Fixed) else Lowered(what)


def sure(node: Node, known: Known) -> str:
    """A text that must be known."""
    found = known.value(node) if known.decides(node) else ABSENT
    if not isinstance(found, str):
        raise NotHere(f"{node} is not known before the request")
    return found


def present(found: Value) -> Formula:
    """When there is a value."""
    return one_of(choice.when for choice in found)


# Tests


def compared(left: Value, right: Value) -> Truth:
    """Whether two values are equal, choice by choice."""
    if len(left) * len(right) > LONGEST:
        raise NotHere(f"a comparison with more than {LONGEST} cases")
    pairs = [(one.when & other.when, equal(one.what, other.what)) for one in left for other in right]
    return certain(one_of(when & same for when, same in pairs), one_of(when & ~same for when, same in pairs))


def equal(one: Fixed | Term, other: Fixed | Term) -> Formula:
    """Whether two things are equal, if both are there."""
    if isinstance(one, Fixed) and isinstance(other, Fixed):
        return constant(one.value == other.value)
    if isinstance(one, Fixed):
        one, other = other, one
    if not isinstance(other, Fixed) or isinstance(one, Fixed):
        raise NotHere("two values of the request are compared")
    return one.test(exactly(other.value))


def exactly(wanted: Any) -> Test:
    """The test for one value."""
    if isinstance(wanted, str):
        return Test(Kind.EXACT, wanted)
    text = address(wanted)
    if text is None:
        raise NotHere(f"a comparison with {wanted!r}")
    return Test(Kind.BLOCK, text)


def address(wanted: Any) -> str | None:
    """An IP address as text, from the bytes that attributes hold or from an object; None for what is none."""
    from ipaddress import IPv4Address, IPv6Address, ip_address

    if isinstance(wanted, bytes) and len(wanted) in (4, 16):
        return str(ip_address(wanted))
    return str(wanted) if isinstance(wanted, IPv4Address | IPv6Address) else None


def tested(found: Value, kind: Kind, wanted: str, known: Known) -> Truth:
    """Whether a value passes a test."""
    test = Test(kind, wanted)
    pairs = [(each.when, passes(each.what, test, known)) for each in found]
    return certain(one_of(when & yes for when, yes in pairs), one_of(when & ~yes for when, yes in pairs))


def passes(what: Fixed | Term, test: Test, known: Known) -> Formula:
    """Whether one choice passes a test."""
    return constant(known.passes(what.value, test)) if isinstance(what, Fixed) else what.test(test)


def globbed(pattern: str) -> tuple[Kind, str]:
    """`prefix*`, `*suffix`, or the text itself.

    >>> globbed("a*")[1], globbed("*a")[0].value, globbed("a")[0].value
    ('a', 'suffix', 'exact')
    """
    if pattern.endswith("*"):
        return Kind.PREFIX, pattern[:-1]
    return (Kind.SUFFIX, pattern[1:]) if pattern.startswith("*") else (Kind.EXACT, pattern)


def in_any_case(test: Test) -> str:
    """A beginning or an end in any case, as a regular expression that is found."""
    import re

    inner = f"(?i:{re.escape(test.value)})"
    return f"^{inner}" if test.kind is Kind.PREFIX else f"{inner}$"
