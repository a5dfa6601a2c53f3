"""rbac's roles as conditions. A field of an instance that is absent counts as the empty text; a property does
not.
"""

from collections.abc import Iterable, Iterator

from mesh.pilot.compile.mixer.formula import ALWAYS, Formula, every, one_of
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.outcome import Outcome, said
from mesh.pilot.compile.mixer.terms import Kind, Test
from mesh.pilot.compile.mixer.values import Choice, Fixed, Value, passes, present, value
from mesh.rules import answers
from mesh.rules.builder import Builder
from mesh.rules.static import Role, Roles

EMPTY: Value = (Choice(ALWAYS, Fixed("")),)


def roles(meaning: Roles, handler: str, builder: Builder, known: Known) -> Outcome:
    """What roles say of an instance of template authorization."""
    asking = Asking(builder, known)
    granted = one_of(every(asking.grants(role)) for role in meaning.roles)
    return Outcome(refusals=((~granted, said(answers.NO_ROLE, handler)),))


class Asking:
    """The fields of one instance, as far as roles ask for them."""

    def __init__(self, builder: Builder, known: Known) -> None:
        self._builder = builder
        self._known = known

    def grants(self, role: Role) -> Iterator[Formula]:
        """What must hold for a role to grant an instance."""
        yield self._fits(role.services, "action", "service")
        yield self._fits(role.methods, "action", "method")
        if role.paths:
            yield self._fits(role.paths, "action", "path")
        if role.users:
            yield self._fits(role.users, "subject", "user")
        if role.groups:
            yield self._fits(role.groups, "subject", "groups")
        for key, wanted in role.properties.items():
            yield self._fits(wanted, "subject", "properties", key)

    def _fits(self, patterns: Iterable[str], *path: str) -> Formula:
        found = self._field(*path)
        tests = [test for pattern in patterns for test in tests_of(pattern)]
        return one_of(
            choice.when & passes(choice.what, test, self._known) for choice in found for test in tests
        )

    def _field(self, *path: str) -> Value:
        expression = self._builder.expression(*path)
        found = value(expression.tree, self._known) if expression else ()
        if "properties" in path:
            return found
        missing = ~present(found)
        return (*found, *(Choice(missing & each.when, each.what) for each in EMPTY))


def tests_of(pattern: str) -> Iterator[Test]:
    """`prefix*`, `*suffix`, or the text itself.

    >>> [test.kind.value for test in tests_of("a*")], [test.value for test in tests_of("a")]
    (['prefix'], ['a'])
    """
    if pattern.endswith("*"):
        yield Test(Kind.PREFIX, pattern[:-1])
    if pattern.startswith("*"):
        yield Test(Kind.SUFFIX, pattern[1:])
    if "*" not in (pattern[:1], pattern[-1:]):
        yield Test(Kind.EXACT, pattern)
