"""One rule of a policy as Envoy's RBAC policy: who (principals) may do what (permissions).

What connections that are not HTTP lack makes a rule of ALLOW never match, and one of other actions match
without it (Istio's reference: "Dependency on mutual TLS", and its task on TCP traffic).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from envoy.config.rbac.v3 import rbac_pb2

from mesh.api.security import AuthorizationRule
from mesh.pilot.compile.authz import conditions
from mesh.pilot.compile.authz.attributes import (
    PERMISSIONS,
    PRINCIPALS,
    Asked,
    Attribute,
    Inexpressible,
    divided,
)
from mesh.pilot.compile.authz.conditions import Condition
from mesh.pilot.compile.authz.sides import PERMISSION, PRINCIPAL, M, Side
from mesh.pilot.compile.authz.trust import expanded

Policy = rbac_pb2.Policy


@dataclass(frozen=True, slots=True)
class Setting:
    """For what rules are compiled: `narrow` drops a rule that it cannot express (ALLOW), else only the key
    that it cannot express is dropped. `home` is the policy's namespace, `domains` are the trust domains.
    """

    home: str
    domains: tuple[str, ...]
    tcp: bool = False
    narrow: bool = True


def policy(rule: AuthorizationRule, setting: Setting) -> rbac_pb2.Policy | None:
    """The rule; None if it can never match."""
    both = conditions.when(rule)
    try:
        return Policy(
            permissions=[
                PERMISSION.every(list(parts(PERMISSION, PERMISSIONS, (*each, *both), setting)))
                for each in conditions.operations(rule)
            ],
            principals=[
                PRINCIPAL.every(list(parts(PRINCIPAL, PRINCIPALS, (*each, *both), setting)))
                for each in conditions.sources(rule)
            ],
        )
    except Inexpressible:
        return None


def never() -> rbac_pb2.Policy:
    """A policy without rules: there is one, and it matches nothing."""
    return Policy(permissions=[PERMISSION.nothing()], principals=[PRINCIPAL.nothing()])


def parts(
    side: Side[M], table: Mapping[str, Attribute[M]], given: Iterable[Condition], setting: Setting
) -> Iterator[M]:
    """The conditions of one side, all of which must hold."""
    for each in given:
        key, name = divided(each.key)
        attribute = table.get(key)
        if attribute is None:
            check_known(key)
            continue
        values = matched(attribute, each.values, name, setting)
        if values:
            yield side.one_of(values)
        others = matched(attribute, each.not_values, name, setting)
        if others:
            yield side.negated(side.one_of(others))


def matched(attribute: Attribute[M], values: tuple[str, ...], name: str, setting: Setting) -> list[M]:
    """The matches of all values that can be expressed."""
    if attribute is PRINCIPALS["source.principal"]:
        values = expanded(values, setting.domains)
    found: list[M] = []
    for value in values:
        try:
            if attribute.http_only and setting.tcp:
                raise Inexpressible("connections that are not HTTP do not have it")
            found.append(attribute.match(Asked(value, name, setting.home)))
        except Inexpressible:
            if setting.narrow:
                raise
    return found


def check_known(key: str) -> None:
    """Raise unless the other side has this key."""
    if key not in PRINCIPALS and key not in PERMISSIONS:
        raise Inexpressible(f"there is no attribute {key}")
