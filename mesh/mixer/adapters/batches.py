"""A bounded queue before a back end: batches are sent off one after the other, and what is lost is counted.

Nothing is sent twice: a batch is tried again only if it is sure that the back end has not taken it
(`Unsent`). While it is away the queue fills; what comes when it is full is lost. Callers never wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

T = TypeVar("T")
FULL, REFUSED, UNCERTAIN, CLOSED = "queue full", "refused", "uncertain", "closed"
"""Why something was lost."""

BACK_OFF = (0.25, 10.0)
"""Seconds, first and longest, between attempts."""

log = structlog.get_logger(component="mixer")


class Unsent(Exception):
    """The back end has surely not taken the batch: it may be tried again."""


class Lost(Exception):
    """The batch, or `count` of it, will not be tried again; `reason` is one of the above."""

    def __init__(self, message: str, reason: str = REFUSED, count: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.count = count


@dataclass(frozen=True, slots=True)
class Limits:
    """Items that wait and that go together; seconds after which a smaller batch goes, and for closing."""

    queue: int = 10_000
    batch: int = 500
    interval: float = 1.0
    closing: float = 5.0


class ExportMetrics:
    """What all exporters of a process count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter("mixer_export_sent", "Items handed on", ["handler"], registry=registry)
        self.lost = Counter("mixer_export_lost", "Items lost", ["handler", "reason"], registry=registry)
        self.waiting = Gauge("mixer_export_waiting", "Items that wait", ["handler"], registry=registry)


_METRICS: WeakKeyDictionary[CollectorRegistry, ExportMetrics] = WeakKeyDictionary()


def export_metrics(registry: CollectorRegistry) -> ExportMetrics:
    """The exporters' metrics in a registry: one set for all handlers."""
    found = _METRICS.get(registry)
    if found is None:
        found = _METRICS[registry] = ExportMetrics(registry)
    return found


class Batches(Generic[T]):
    """Queue and sender of one handler; `run` is its task, `close` ends it."""

    def __init__(
        self,
        handler: str,
        send: Callable[[Sequence[T]], Awaitable[None]],
        metrics: ExportMetrics,
        limits: Limits = Limits(),
        back_off: tuple[float, float] = BACK_OFF,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self._send = send
        self._back_off = back_off
        self._waiting: deque[T] = deque()
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._ended = asyncio.Event()
        self._closing = asyncio.Event()
        self._in_hand = 0
        self._over = False
        self._failing = False
        self._sent = metrics.sent.labels(handler)
        self._lost = metrics.lost
        self._gauge = metrics.waiting.labels(handler)

    def __repr__(self) -> str:
        return f"<Batches of {self.handler}: {len(self._waiting)} of at most {self.limits.queue} wait>"

    def put(self, items: Iterable[T]) -> None:
        """Queue items; those for which there is no room are lost."""
        given = list(items)
        room = max(0, self.limits.queue - len(self._waiting) - self._in_hand)
        self._waiting.extend(given[:room])
        if len(given) > room:
            self._count_lost(len(given) - room, FULL, "its queue is full")
        self._note()

    async def run(self) -> None:
        """Send until closed; what is queued then is still sent."""
        try:
            while True:
                await self._gather()
                batch = [self._waiting.popleft() for _ in range(min(self.limits.batch, len(self._waiting)))]
                if not batch:
                    return
                self._in_hand = len(batch)
                await self._deliver(batch)
                if self._over:
                    return
                self._in_hand = 0
                self._note()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Send what is queued, as far as the time allows; the rest is lost."""
        self._closing.set()
        self._note()
        try:
            async with asyncio.timeout(self.limits.closing):
                await self._ended.wait()
        except TimeoutError:
            pass
        left = len(self._waiting) + self._in_hand
        self._over, self._in_hand = True, 0  # what is under way is counted as lost, and not once more
        self._waiting.clear()
        if left:
            self._count_lost(left, CLOSED, "it was closed before all was handed on")
        self._note()

    def _note(self) -> None:
        count = len(self._waiting)
        self._gauge.set(count + self._in_hand)
        closing = self._closing.is_set()
        (self._some.set if count or closing else self._some.clear)()
        (self._many.set if count >= self.limits.batch or closing else self._many.clear)()

    async def _gather(self) -> None:
        """Wait until there is something, and then until it is many or the interval is over."""
        await self._some.wait()
        try:
            async with asyncio.timeout(self.limits.interval):
                await self._many.wait()
        except TimeoutError:
            return

    async def _deliver(self, batch: Sequence[T]) -> None:
        """Send one batch; try again until it is taken or surely lost."""
        pause = self._back_off[0]
        while True:
            try:
                await self._send(batch)
            except Unsent as error:
                self._complain(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._back_off[1])
            except Lost as error:
                count = len(batch) if error.count is None else error.count
                self._count_sent(len(batch) - count)
                if not self._over:
                    self._count_lost(count, error.reason, str(error))
                return
            except Exception as error:  # of one batch; those that come after it are still to be sent
                self._count_lost(len(batch), REFUSED, f"{type(error).__name__}: {error}")
                return
            else:
                self._failing = False
                self._count_sent(len(batch))
                return

    def _count_sent(self, count: int) -> None:
        if not self._over:
            self._sent.inc(count)

    def _count_lost(self, count: int, reason: str, words: str) -> None:
        self._lost.labels(self.handler, reason).inc(count)
        self._complain(words)

    def _complain(self, words: str) -> None:
        """Once for each outage; the rest is counted."""
        if not self._failing:
            self._failing = True
            log.warning("a back end takes nothing", handler=self.handler, error=words)
