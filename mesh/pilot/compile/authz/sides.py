"""Envoy's two kinds of conditions, permissions and principals: the same logic, other messages.

Source: Envoy's `config.rbac.v3`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from envoy.config.rbac.v3 import rbac_pb2

Permission = rbac_pb2.Permission
Principal = rbac_pb2.Principal

M = TypeVar("M", rbac_pb2.Permission, rbac_pb2.Principal)


@dataclass(frozen=True, slots=True)
class Side(Generic[M]):
    """How conditions of one kind are put together. `items` names the field of a list of them."""

    message: type[M]
    negation: str
    all_field: str
    any_field: str
    items: str

    def everything(self) -> M:
        """What always holds."""
        return self.message(any=True)

    def nothing(self) -> M:
        """What never holds."""
        return self.negated(self.everything())

    def negated(self, one: M) -> M:
        """The opposite."""
        result = self.message()
        getattr(result, self.negation).CopyFrom(one)
        return result

    def one_of(self, many: Sequence[M]) -> M:
        """What holds if one of them does, which of none never happens."""
        return self._list(self.any_field, many or [self.nothing()])

    def every(self, many: Sequence[M]) -> M:
        """What holds if all of them do, which none always do."""
        return self._list(self.all_field, many or [self.everything()])

    def _list(self, field: str, many: Sequence[M]) -> M:
        if len(many) == 1:
            return many[0]
        result = self.message()
        getattr(getattr(result, field), self.items).extend(many)
        return result


PERMISSION = Side(rbac_pb2.Permission, "not_rule", "and_rules", "or_rules", "rules")
PRINCIPAL = Side(rbac_pb2.Principal, "not_id", "and_ids", "or_ids", "ids")
