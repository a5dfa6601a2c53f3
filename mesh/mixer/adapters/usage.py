"""`usage`: a ledger for billing, requests and bytes by consumer and period, in SQLite.

Takes instances of template `metric`: `value` are the bytes of a call, one dimension is its consumer. Sums are
kept in memory and written once in a while, off the event loop; what is reported while the disk is away waits
in these sums, whose number is bounded. This mesh's own; there is no classic one.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import CollectorRegistry, Counter
from pydantic import Field

from mesh.api.base import Model, PositiveDuration
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.values import text
from mesh.rules.adapter import Adapter, Environment, Instance
from mesh.rules.types import ValueType

Period = Literal["HOUR", "DAY", "MONTH"]
TABLE = """create table if not exists usage (
    handler text, period text, start text, consumer text, requests integer, bytes integer,
    primary key (handler, period, start, consumer)) without rowid"""
ADD = """insert into usage values (?, ?, ?, ?, ?, ?) on conflict do update set
    requests = requests + excluded.requests, bytes = bytes + excluded.bytes"""
READ = "select * from usage where handler = ? order by start, consumer"
BUSY = 5.0  # seconds that a writer waits for another
FIELDS = ("handler", "period", "start", "consumer", "requests", "bytes")

log = structlog.get_logger(component="mixer")


class UsageParams(Model):
    """`consumer` is the dimension that names who pays; `path` the file, in the folder for handlers' files."""

    consumer: str = "consumer"
    period: Period = "HOUR"
    path: str = "usage.sqlite"
    flush_interval: PositiveDuration = 1.0
    max_consumers: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000

    @check
    def _path(self) -> Iterator[Fault]:
        if not self.path or Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            yield Fault("path", f"is {self.path!r}, not a file below the folder", "write a plain file name")


_LOST: WeakKeyDictionary[CollectorRegistry, Counter] = WeakKeyDictionary()


def lost(registry: CollectorRegistry) -> Counter:
    """What ledgers of a process could not take: calls of consumers beyond `maxConsumers`."""
    found = _LOST.get(registry)
    if found is None:
        found = Counter("mixer_usage_lost", "Calls that are in no ledger", ["handler"], registry=registry)
        _LOST[registry] = found
    return found


class Usage(Adapter[UsageParams]):
    """Sums in memory until they are in the file."""

    name: ClassVar[str] = "usage"
    templates: ClassVar[frozenset[str]] = frozenset({"metric"})
    Params = UsageParams

    def __init__(self, params: UsageParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._path = environment.folder / params.path
        self._sums: dict[tuple[str, str], list[int]] = {}
        self._lost = lost(environment.metrics).labels(environment.handler)
        self._writing = asyncio.Lock()
        self._failed = False

    @classmethod
    def faults(
        cls, params: UsageParams, types: Mapping[str, Mapping[str, ValueType | Mapping[str, ValueType]]]
    ) -> Iterator[Fault]:
        """Instances without the consumer, or whose value is no number of bytes."""
        for name, fields in types.items():
            dimensions = fields.get("dimensions") or {}
            if isinstance(dimensions, Mapping) and params.consumer not in dimensions:
                there = ", ".join(sorted(dimensions)) or "none"
                words = f"{params.consumer!r} is no dimension of instance {name}"
                yield Fault("consumer", words, f"its dimensions are: {there}")
            if fields.get("value") is not ValueType.INT64:
                words = f"instance {name} has a value of type {fields.get('value')}, not bytes (INT64)"
                yield Fault("", words, "write one such as response.total_size | 0")

    async def start(self) -> None:
        """Open the ledger; raises if it cannot be written."""
        await asyncio.to_thread(write, self._path, ())
        self.environment.background(self._run(), "ledger")

    async def close(self) -> None:
        """Write what has been reported."""
        await self._flush()

    def report(self, instances: Sequence[Instance]) -> None:
        """Add up."""
        start = period_of(self.environment.clock(), self.params.period)
        for each in instances:
            consumer = text((each.values.get("dimensions") or {}).get(self.params.consumer, ""))
            found = self._sums.get((start, consumer))
            if found is None:
                if len(self._sums) >= self.params.max_consumers:
                    self._lost.inc()
                    continue
                found = self._sums[start, consumer] = [0, 0]
            found[0] += 1
            found[1] += int(each.values.get("value", 0))

    async def ledger(self) -> Sequence[Mapping[str, str | int]]:
        """All rows of this handler, by period and consumer."""
        await self._flush()
        rows = await asyncio.to_thread(read, self._path, self.environment.handler)
        return [dict(zip(FIELDS, row, strict=True)) for row in rows]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.params.flush_interval)
            await self._flush()

    async def _flush(self) -> None:
        """Write the sums; those that cannot be written are added to what comes after them."""
        async with self._writing:
            sums, self._sums = self._sums, {}
            if not sums:
                return
            try:
                await asyncio.shield(asyncio.to_thread(write, self._path, self._rows(sums)))
                self._failed = False
            except (OSError, sqlite3.Error) as error:
                self._keep(sums)
                self._tell(error)

    def _rows(self, sums: Mapping[tuple[str, str], Sequence[int]]) -> list[tuple[Any, ...]]:
        handler, period = self.environment.handler, self.params.period
        return [(handler, period, start, who, *found) for (start, who), found in sums.items()]

    def _keep(self, sums: Mapping[tuple[str, str], Sequence[int]]) -> None:
        for key, (requests, size) in sums.items():
            found = self._sums.setdefault(key, [0, 0])
            found[0] += requests
            found[1] += size

    def _tell(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            handler, path = self.environment.handler, str(self._path)
            log.warning(
                "the ledger cannot be written; sums wait", handler=handler, path=path, error=str(error)
            )


def period_of(now: float, period: Period) -> str:
    """The beginning (UTC) of the period in which a time (seconds since 1970) is.

    >>> period_of(1_600_000_000, "HOUR"), period_of(1_600_000_000, "MONTH")
    ('2020-09-13T12:00:00Z', '2020-09-01T00:00:00Z')
    """
    at = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    if period != "HOUR":
        at = at.replace(hour=0)
    if period == "MONTH":
        at = at.replace(day=1)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def write(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows to a ledger, all or none; makes the file."""
    with closing(sqlite3.connect(path, timeout=BUSY)) as ledger, ledger:
        ledger.execute(TABLE)
        ledger.executemany(ADD, rows)


def read(path: Path, handler: str) -> list[tuple[Any, ...]]:
    """The rows of a handler."""
    with closing(sqlite3.connect(path, timeout=BUSY)) as ledger:
        return ledger.execute(READ, (handler,)).fetchall()
