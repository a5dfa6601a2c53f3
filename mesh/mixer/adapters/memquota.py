"""`memquota`: quotas kept in memory, by each replica of istio-policy for itself; a restart forgets them.

Source: Istio 1.6's reference of the adapter. Windows roll unless `rateLimitAlgorithm` says FIXED_WINDOW,
which, like `bucketDuration`, classic Mixer knew for redisquota only.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from mesh.api.base import Model, PositiveDuration
from mesh.api.checks import Fault
from mesh.mixer.adapters.limits import (
    Algorithm,
    Limit,
    Limits,
    Quota,
    Types,
    cell,
    micros,
    quota_faults,
    texts,
)
from mesh.mixer.adapters.limits import static as static_of
from mesh.mixer.adapters.windows import MICROS, FixedWindow, RollingWindow, Taken, Window
from mesh.rules.adapter import Adapter, Environment, Instance, QuotaResult
from mesh.rules.static import NotStatic, Static

FEW = 1000
"""Cells below which nothing is swept."""


class MemoryQuota(Quota):
    """A limit whose window rolls by default."""

    rate_limit_algorithm: Algorithm = Algorithm.ROLLING_WINDOW


class MemQuotaParams(Model):
    """Limits; and for how long the same question is known to be the same."""

    quotas: list[MemoryQuota] = Field(default_factory=list)
    min_deduplication_duration: PositiveDuration = 1.0


class MemQuota(Adapter[MemQuotaParams]):
    """Counts on the event loop, without waiting, and so exactly."""

    name: ClassVar[str] = "memquota"
    templates: ClassVar[frozenset[str]] = frozenset({"quota"})
    Params = MemQuotaParams

    def __init__(self, params: MemQuotaParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._limits = Limits(params.quotas)
        self._cells = Cells()
        self._answers = Answers(micros(params.min_deduplication_duration))

    @classmethod
    def faults(cls, params: MemQuotaParams, types: Types) -> Iterator[Fault]:
        """Limits that are missing, and overrides that fit nothing."""
        yield from quota_faults(params.quotas, types)

    @classmethod
    def static(cls, params: MemQuotaParams) -> Static | NotStatic:
        """Budgets, if all windows are fixed."""
        return static_of(params.quotas)

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        """Take from a window. Raises `UnknownQuota`."""
        now = micros(self.environment.clock())
        dimensions = texts(instance.values.get("dimensions", {}))
        limit = self._limits.of(instance.name, dimensions)
        key = cell(instance.name, dimensions)
        taken = self._answers.get(now, key, dedup)
        if taken is None:
            taken = self._cells.window(now, key, limit).take(now, amount, best_effort=best_effort)
            self._answers.put(now, key, dedup, taken)
        return QuotaResult(taken.granted, limit.length / MICROS, taken.retry / MICROS)


class Cells:
    """Windows by what is counted. Those that count nothing any more are swept out as their number doubles."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._sweep_at = FEW

    def __repr__(self) -> str:
        return f"<Cells: {len(self._windows)} windows>"

    def __len__(self) -> int:
        return len(self._windows)

    def window(self, now: int, key: str, limit: Limit) -> Window:
        """The window of a key, made if need be."""
        found = self._windows.get(key)
        if found is None:
            if len(self._windows) >= self._sweep_at:
                self._sweep(now)
            found = self._windows[key] = window(limit)
        return found

    def _sweep(self, now: int) -> None:
        self._windows = {key: each for key, each in self._windows.items() if not each.over(now)}
        self._sweep_at = max(FEW, 2 * len(self._windows))


def window(limit: Limit) -> Window:
    """An empty window of a limit."""
    if limit.bucket:
        return RollingWindow(limit.amount, limit.length, limit.bucket)
    return FixedWindow(limit.amount, limit.length)


class Answers:
    """What was answered to questions within the last `length` microseconds."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._found: OrderedDict[tuple[str, str], tuple[int, Taken]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Answers: {len(self._found)}>"

    def get(self, now: int, key: str, dedup: str) -> Taken | None:
        """The answer to the same question."""
        while self._found and next(iter(self._found.values()))[0] <= now:
            self._found.popitem(last=False)
        found = self._found.get((key, dedup))
        return found[1] if found else None

    def put(self, now: int, key: str, dedup: str, taken: Taken) -> None:
        """Remember an answer; a question without `dedup` is like no other."""
        if dedup:
            self._found[key, dedup] = now + self._length, taken
