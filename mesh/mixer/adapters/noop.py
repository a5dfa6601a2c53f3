"""`noop`: agrees to everything and does nothing. Source: Istio 1.6's reference of the adapter."""

from collections.abc import Sequence
from typing import ClassVar

from mesh.api.base import Model
from mesh.rules.adapter import Adapter, CheckResult, Code, Instance, QuotaResult
from mesh.rules.static import Always, Static
from mesh.rules.templates import TEMPLATES

LONG = 86_400.0
"""Seconds: a day."""


class NoopParams(Model):
    """There are none."""


class Noop(Adapter[NoopParams]):
    """Serves every template."""

    name: ClassVar[str] = "noop"
    templates: ClassVar[frozenset[str]] = frozenset(TEMPLATES)
    Params = NoopParams

    @classmethod
    def static(cls, params: NoopParams) -> Static:
        """Always yes."""
        return Always(Code.OK, "")

    async def check(self, instance: Instance) -> CheckResult:
        """Agree."""
        return CheckResult(valid_seconds=LONG)

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        """Grant all."""
        return QuotaResult(amount, LONG)

    def report(self, instances: Sequence[Instance]) -> None:
        """Drop them."""
