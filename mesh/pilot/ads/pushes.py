"""When to make a new snapshot, and handing it to all proxies.

The first change after a quiet time is pushed at once; those that follow are gathered, so that a burst costs
one push each `gather` seconds, and never more than half of the time when a push takes long.
(Istio waits 100 ms before each push; see the field notes of measurements.)
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from mesh.model import ObjectKey
from mesh.pilot.ads.history import History, Push
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.ads.view import Snapshot

GATHER = 0.025
"""Seconds between the pushes of a burst."""

BREATH = 16
"""Proxies that are pushed to before others on the event loop get their turn."""

log = structlog.get_logger(component="ads")


class Pushes:
    """Makes snapshots and pushes them. Everything happens on one event loop.

    `build` makes the snapshot that holds all changes up to the call; it may give back the one it gave before.
    """

    def __init__(
        self,
        sessions: Sessions,
        build: Callable[[], Snapshot],
        history: History | None = None,
        *,
        gather: float = GATHER,
    ) -> None:
        self.sessions = sessions
        self.history = history or History()
        self.failure: str | None = None
        """Why the last snapshot could not be built."""
        self.asked = 0
        """Changes announced so far."""
        self.done = 0
        """Of these, how many were in a snapshot that every proxy has been offered."""
        self._build = build
        self._gather = gather
        self._causes: set[ObjectKey] = set()
        self._since: float | None = None
        self._wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Pushes at {self.sessions.snapshot.version}, {self.asked - self.done} changes to go>"

    def changed(self, causes: Iterable[ObjectKey] = ()) -> None:
        """Announce that something changed; returns at once."""
        self._causes.update(causes)
        self._since = self._since or time.time()
        self.asked += 1
        self._wake.set()
        self.sessions.notice.give()

    async def run(self) -> None:
        """Push for ever."""
        loop = asyncio.get_running_loop()
        earliest = 0.0
        while True:
            await self._wake.wait()
            await asyncio.sleep(max(0.0, earliest - loop.time()))  # at least one turn: what comes together
            began = loop.time()
            await self.step()
            took = loop.time() - began
            earliest = began + max(self._gather, 2 * took)

    async def step(self) -> None:
        """Make one snapshot of all that was announced and hand it to every proxy."""
        self._wake.clear()
        asked, causes, since = self.asked, frozenset(self._causes), self._since or time.time()
        began = time.perf_counter()
        try:
            snapshot = self._build()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            self.sessions.metrics.internal_errors.inc()
            log.exception("snapshot failed", causes=sorted(map(str, causes)))
            self.sessions.notice.give()
            return
        self.failure = None
        self._causes.clear()
        self._since = None
        push = Push(snapshot.version, causes, since, build_ms=(time.perf_counter() - began) * 1000)
        if snapshot is self.sessions.snapshot:
            self.history.without_effect(causes, snapshot.version)
        else:
            await self._push(snapshot, push)
        self.done = asked
        self.sessions.notice.give()

    async def _push(self, snapshot: Snapshot, push: Push) -> None:
        began = time.perf_counter()
        self.sessions.snapshot = snapshot
        self.history.add(push)
        for count, session in enumerate(self.sessions, 1):
            changed = self.sessions.push_to(session, snapshot, since=push.started)
            if changed:
                push.resources += changed
                push.proxies.append(session.id)
            if count % BREATH == 0:
                await asyncio.sleep(0)
        push.push_ms = (time.perf_counter() - began) * 1000
        self.sessions.metrics.push_time.observe((push.build_ms + push.push_ms) / 1000)
        log.info(
            "pushed",
            snapshot=push.snapshot,
            causes=sorted(map(str, push.causes))[:10],
            proxies=len(push.proxies),
            resources=push.resources,
            ms=round(push.build_ms + push.push_ms, 1),
        )
