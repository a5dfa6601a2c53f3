"""Conditions on a call, as logic over what Envoy can see; constants vanish where they are put together.

A condition that came out as a constant is decided now, once for all calls; the others become a `Principal`,
Envoy's only kind of condition that speaks of both the caller and the request.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from envoy.config.rbac.v3 import rbac_pb2

from mesh.pilot.compile.authz.sides import PRINCIPAL


@dataclass(frozen=True, slots=True)
class Formula:
    """A constant, or a condition of Envoy's. Of two that are equal the bytes are."""

    constant: bool | None
    wire: bytes = b""
    opposite: bool = field(default=False, kw_only=True)  # the condition is meant negated

    @property
    def principal(self) -> rbac_pb2.Principal:
        """Envoy's message."""
        if self.constant is not None:
            return PRINCIPAL.everything() if self.constant else PRINCIPAL.nothing()
        found = rbac_pb2.Principal.FromString(self.wire)
        return PRINCIPAL.negated(found) if self.opposite else found

    def __invert__(self) -> "Formula":
        if self.constant is not None:
            return NEVER if self.constant else ALWAYS
        return Formula(None, self.wire, opposite=not self.opposite)

    def __and__(self, other: "Formula") -> "Formula":
        return every((self, other))

    def __or__(self, other: "Formula") -> "Formula":
        return one_of((self, other))


ALWAYS, NEVER = Formula(True), Formula(False)


def atom(principal: rbac_pb2.Principal) -> Formula:
    """A condition of Envoy's."""
    return Formula(None, principal.SerializeToString(deterministic=True))


def every(given: Iterable[Formula]) -> Formula:
    """Whether all hold."""
    found = dict.fromkeys(each for each in given if each != ALWAYS)
    if NEVER in found or any(~each in found for each in found):
        return NEVER
    if len(found) < 2:
        return next(iter(found), ALWAYS)
    return atom(PRINCIPAL.every([each.principal for each in found]))


def one_of(given: Iterable[Formula]) -> Formula:
    """Whether at least one holds."""
    found = dict.fromkeys(each for each in given if each != NEVER)
    if ALWAYS in found or any(~each in found for each in found):
        return ALWAYS
    if len(found) < 2:
        return next(iter(found), NEVER)
    return atom(PRINCIPAL.one_of([each.principal for each in found]))
