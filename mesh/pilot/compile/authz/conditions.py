"""A rule of an AuthorizationPolicy as conditions by key: fields of `from` and `to` are keys like those of
`when`, so that there is one way for all of them.

Source: Istio's reference of AuthorizationPolicy, and of its conditions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.api.security import AuthorizationRule, Operation, Source

HOST, METHOD, PATH = "host", "method", "path"
"""Keys of what only `to` can say."""

SOURCE_FIELDS = (
    ("principals", "source.principal"),
    ("request_principals", "request.auth.principal"),
    ("service_accounts", "source.serviceAccount"),
    ("namespaces", "source.namespace"),
    ("remote_ip_blocks", "remote.ip"),
    ("ip_blocks", "source.ip"),
)
OPERATION_FIELDS = (
    ("hosts", HOST),
    ("methods", METHOD),
    ("paths", PATH),
    ("ports", "destination.port"),
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What is said of one attribute: one of `values` (any, if there are none), and none of `not_values`."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


def sources(rule: AuthorizationRule) -> list[tuple[Condition, ...]]:
    """The alternatives of `from`."""
    return [tuple(fields(each.source, SOURCE_FIELDS)) for each in rule.from_] or [()]


def operations(rule: AuthorizationRule) -> list[tuple[Condition, ...]]:
    """The alternatives of `to`."""
    return [tuple(fields(each.operation, OPERATION_FIELDS)) for each in rule.to] or [()]


def fields(message: Source | Operation | None, names: Iterable[tuple[str, str]]) -> Iterator[Condition]:
    """What a message of the policy says, by key."""
    for name, key in names if message is not None else ():
        values, others = tuple(getattr(message, name)), tuple(getattr(message, f"not_{name}"))
        if values or others:
            yield Condition(key, values, others)


def when(rule: AuthorizationRule) -> tuple[Condition, ...]:
    """The further conditions, all of which must hold."""
    return tuple(Condition(each.key, tuple(each.values), tuple(each.not_values)) for each in rule.when)
