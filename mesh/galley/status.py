"""Writes the status of objects: in bounded batches, none too often, none that stands there already."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from mesh.api.kinds import Kind
from mesh.galley.board import Board
from mesh.galley.conditions import accepted, merged, programmed
from mesh.galley.metrics import Metrics
from mesh.galley.store import ConfigStore
from mesh.model import ObjectKey

AT_ONCE = 8  # writes under way
PAUSE = 2.0  # seconds before what failed is tried again

log = structlog.get_logger(component="galley")


def older(version: str, than: str) -> bool:
    """Whether a version came before another; what cannot be compared did not."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


class CannotWrite(Exception):
    """The platform did not take a status; `gone` if there is no such object any more."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class Writer(Protocol):
    """Writes a status onto the platform."""

    async def write(self, kind: Kind, key: ObjectKey, status: dict[str, Any]) -> None:
        """Merge a status into an object's; raises `CannotWrite`."""


class StatusWriter:
    """Keeps the status of all objects of `kinds` equal to what store and board say.

    `touch` says that an object may need it; `run` writes. `period` is the time in seconds for which touches
    are gathered, `rate` the number of writes a second that are never exceeded.
    """

    def __init__(
        self,
        store: ConfigStore,
        board: Board,
        writer: Writer,
        kinds: Iterable[Kind],
        metrics: Metrics,
        *,
        period: float = 1.0,
        rate: float = 50.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._board = board
        self._writer = writer
        self._kinds = {kind.kind: kind for kind in kinds}
        self._metrics = metrics
        self._period = period
        self._batch = max(1, int(rate * period))
        self._now = now
        self._touched: dict[ObjectKey, None] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"<StatusWriter, {len(self._touched)} objects waiting>"

    def touch(self, keys: Iterable[ObjectKey]) -> None:
        """These objects may need another status."""
        self._touched.update(dict.fromkeys(keys))
        self._wake.set()
        self._idle.clear()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._period)
            await self.step()
            if not self._touched:
                self._wake.clear()
                self._idle.set()

    async def settled(self) -> None:
        """Wait until no object waits to be looked at."""
        await self._idle.wait()

    async def step(self) -> int:
        """Write one batch; how many objects were looked at. What needs no write is free."""
        writes: list[tuple[ObjectKey, dict[str, Any]]] = []
        looked = 0
        while self._touched and len(writes) < self._batch:
            key = next(iter(self._touched))
            del self._touched[key]
            looked += 1
            status = self.wanted(key)
            if status is not None:
                writes.append((key, status))
        limit = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._write(key, status, limit) for key, status in writes))
        return looked

    def wanted(self, key: ObjectKey) -> dict[str, Any] | None:
        """The status that an object should get; None if it is gone or has it."""
        last = self._store.last(key)
        if last is None or key.kind not in self._kinds:
            self._board.forget(key)
            return None
        error, report = self._store.rejected(key), self._board.sum(key)
        conditions = [accepted(error, last.generation)]
        if report is not None and error is None and not older(report.version, last.since):
            conditions.append(programmed(report, last.generation))
        return merged(last.status, conditions, last.generation, self._now())

    async def _write(self, key: ObjectKey, status: dict[str, Any], limit: asyncio.Semaphore) -> None:
        async with limit:
            try:
                await self._writer.write(self._kinds[key.kind], key, status)
            except CannotWrite as error:
                self._metrics.status_writes.labels("gone" if error.gone else "failed").inc()
                if not error.gone:
                    log.warning("cannot write a status", object=str(key), error=str(error))
                    self._later(key)
            else:
                self._metrics.status_writes.labels("written").inc()

    def _later(self, key: ObjectKey) -> None:
        asyncio.get_running_loop().call_later(PAUSE, self.touch, (key,))
