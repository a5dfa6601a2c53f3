"""`denier`: refuses every call that a rule sends to it.

Source: Istio 1.6's reference of the adapter: `status` (a google.rpc.Status; 9, FAILED_PRECONDITION, if there
is none), `validDuration` (5 s) and `validUseCount` (1000).
"""

from collections.abc import Iterator
from typing import ClassVar

from mesh.api.base import Duration, Model
from mesh.api.checks import Fault, check
from mesh.rules.adapter import Adapter, CheckResult, Code, Instance, QuotaResult
from mesh.rules.static import Always, Static

REFUSALS = range(1, 17)


class Status(Model):
    """A google.rpc.Status."""

    code: int = Code.FAILED_PRECONDITION
    message: str = ""

    @check
    def _code(self) -> Iterator[Fault]:
        if self.code not in REFUSALS:
            words = "7 (PERMISSION_DENIED) answers 403; see google.rpc.Code"
            yield Fault("code", f"is {self.code}, which refuses nothing", f"write 1 to 16, such as {words}")


class DenierParams(Model):
    """What callers are told, and how long and how often that holds."""

    status: Status = Status()
    valid_duration: Duration = 5.0
    valid_use_count: int = 1000


class Denier(Adapter[DenierParams]):
    """Keeps nothing and asks nobody."""

    name: ClassVar[str] = "denier"
    templates: ClassVar[frozenset[str]] = frozenset({"checknothing", "listentry", "quota"})
    Params = DenierParams

    @classmethod
    def static(cls, params: DenierParams) -> Static:
        """The same answer always."""
        return Always(params.status.code, params.status.message)

    async def check(self, instance: Instance) -> CheckResult:
        """Refuse."""
        params = self.params
        return CheckResult(
            Code(params.status.code), params.status.message, params.valid_duration, params.valid_use_count
        )

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        """Grant nothing."""
        return QuotaResult(0, code=Code(self.params.status.code), message=self.params.status.message)
