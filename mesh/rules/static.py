"""Handlers' meanings as plain values, for compilation into a proxy's own filters."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NotStatic:
    """Why a handler needs a call."""

    reason: str


@dataclass(frozen=True, slots=True)
class Always:
    """Every check gets this answer (a google.rpc.Code; the rest as in CheckResult)."""

    code: int
    message: str
    status: int = 0
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InList:
    """An instance's `value` is looked for in a fixed list; `blacklist`: found is refused, else not found is.

    `kind`: STRINGS, CASE_INSENSITIVE_STRINGS, IP_ADDRESSES, REGEX (RE2, found anywhere).
    """

    kind: str
    entries: tuple[str, ...]
    blacklist: bool


@dataclass(frozen=True, slots=True)
class Role:
    """What subjects may do; texts may have `*` at one end. Empty `methods` or `paths` mean all."""

    services: tuple[str, ...]
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    users: tuple[str, ...]
    groups: tuple[str, ...]
    properties: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Roles:
    """An authorization instance is allowed if one of these grants it."""

    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """A fixed window of `seconds` in which `amount` may be taken, by the quota's instance name; overrides by
    dimensions, the first that matches.
    """

    amount: int
    seconds: float
    overrides: tuple[tuple[Mapping[str, str], int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Budgets:
    """Fixed windows by the full name of the quota instance."""

    budgets: Mapping[str, Budget]


Static = Always | InList | Roles | Budgets
