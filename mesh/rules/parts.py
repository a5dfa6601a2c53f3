"""What rules are once they are put together: plain immutable values, references resolved, texts compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.api.base import Model
from mesh.api.mixer import Sampling
from mesh.model import ObjectKey
from mesh.rules.adapter import Adapter
from mesh.rules.builder import Builder, Types
from mesh.rules.expressions import Expression
from mesh.rules.templates import Template


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """A handler: its adapter with parameters that were checked, and the types of what rules send to it.

    `name` is `name.namespace`, of older kinds `name.kind.namespace`; `types` are by instances' full names.
    """

    name: str
    adapter: type[Adapter[Any]]
    params: Model
    key: ObjectKey
    types: Mapping[str, Types]


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """An instance; `name` is `name.kind.namespace`."""

    name: str
    key: ObjectKey
    template: Template
    builder: Builder


@dataclass(frozen=True, slots=True)
class ActionConfig:
    """A handler, by its name in the rule set, gets instances, by their full names."""

    name: str
    handler: str
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeaderConfig:
    """What happens to a header: REPLACE, APPEND or REMOVE."""

    name: str
    operation: str
    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """When `match` holds (None: always), the actions are taken and the headers changed."""

    key: ObjectKey
    namespace: str
    match: Expression | None
    actions: tuple[ActionConfig, ...]
    request_headers: tuple[HeaderConfig, ...] = ()
    response_headers: tuple[HeaderConfig, ...] = ()
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """A test of one attribute, or of one key of a map (`request.headers[cookie]`)."""

    attribute: str
    key: str
    holds: Callable[[str], bool]
    said: str

    def matches(self, bag: Any) -> bool:
        """Whether the attribute is there and passes."""
        value = bag.entry(self.attribute, self.key) if self.key else bag.get(self.attribute)
        return value is not None and self.holds(value if isinstance(value, str) else str(value))


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """How much of a quota (an instance's full name) a request takes, if one clause holds as a whole."""

    clauses: tuple[tuple[Clause, ...], ...]
    quota: str
    charge: int
    spec: ObjectKey

    def matches(self, bag: Any) -> bool:
        """Whether a request takes it; without clauses every one does."""
        if not self.clauses:
            return True
        return any(all(each.matches(bag) for each in clause) for clause in self.clauses)
