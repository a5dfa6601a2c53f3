"""Tells how far the proxies are with each object of the configuration, so that people see it in its status.

In rounds, at most one a second and only after something happened; an object is reported if its numbers differ
from the last time. Proxies that see the same are counted together, so a round is cheap with a thousand.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from mesh.model import ObjectKey
from mesh.model.sources import StatusSink
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.session import Session
from mesh.pilot.types import Resource
from mesh.pilot.world import World

PERIOD = 1.0
"""Seconds between two rounds."""

PATIENCE = 5.0
"""Seconds that a round waits for changes that are under way."""

ERRORS, LENGTH = 5, 500
"""Refusals that are reported of one object, and characters of each."""

log = structlog.get_logger(component="ads")

Keys = frozenset[ObjectKey]
Report = tuple[str, int, int, tuple[str, ...]]


@dataclass(slots=True)
class Tally:
    """How many proxies an object concerns, how many of them do not use it as it is, and why not."""

    concerned: Counter[ObjectKey] = field(default_factory=Counter)
    behind: Counter[ObjectKey] = field(default_factory=Counter)
    errors: dict[ObjectKey, list[str]] = field(default_factory=dict)


class Reports:
    """Reports to `sink` for as long as it runs."""

    def __init__(self, world: World, pushes: Pushes, sink: StatusSink, *, period: float = PERIOD) -> None:
        self._world = world
        self._pushes = pushes
        self._sink = sink
        self._period = period
        self._reported: dict[ObjectKey, Report] = {}
        self._origins: dict[int, tuple[Mapping[str, Resource], Keys]] = {}

    def __repr__(self) -> str:
        return f"<Reports of {len(self._reported)} objects>"

    async def run(self) -> None:
        """Report for ever."""
        notice, loop, seen = self._pushes.sessions.notice, asyncio.get_running_loop(), -1
        while True:
            if notice.count != seen:
                until = loop.time() + PATIENCE
                await notice.wait_for(lambda: self._pushes.done >= self._pushes.asked, deadline=until)
                seen = notice.count
                self._guarded()
            await asyncio.sleep(self._period)

    def _guarded(self) -> None:
        """A round; a fault in it is logged and costs people a status, not the mesh its Pilot."""
        try:
            self.round()
        except Exception:
            self._pushes.sessions.metrics.internal_errors.inc()
            log.exception("cannot report")

    def round(self) -> None:
        """Report every object of which something differs."""
        tally, now = self._count(), dict[ObjectKey, Report]()
        for key in self._world.config.objects():
            if key.kind not in self._world.config_kinds:
                continue
            proxies = tally.concerned[key]
            errors = tuple(sorted(tally.errors.get(key, ())))[:ERRORS]
            version = self._world.config.seen(key) or ""
            now[key] = version, proxies, proxies - tally.behind[key], errors
            if self._reported.get(key) != now[key]:
                self._sink.report(key, version, proxies=proxies, acked=now[key][2], errors=errors)
        self._reported = now

    def _count(self) -> Tally:
        tally, alike = Tally(), Counter[tuple[int, ...]]()
        held: dict[int, Mapping[str, Resource]] = {}
        for session in self._pushes.sessions:
            wanted = [watch.wanted for watch in session.machine.watches.values()]
            held.update((id(each), each) for each in wanted)
            alike[tuple(map(id, wanted))] += 1
            tally.behind.update(_behind(session, tally))
        self._origins = {number: self._of(number, mapping) for number, mapping in held.items()}
        for group, count in alike.items():
            for key in frozenset[ObjectKey]().union(*(self._origins[number][1] for number in group)):
                tally.concerned[key] += count
        return tally

    def _of(self, number: int, wanted: Mapping[str, Resource]) -> tuple[Mapping[str, Resource], Keys]:
        """The objects behind resources; remembered for as long as the very same mapping is in use."""
        known = self._origins.get(number)
        if known is not None and known[0] is wanted:
            return known
        return wanted, frozenset(origin for each in wanted.values() for origin in each.origins)


def _behind(session: Session, tally: Tally) -> Keys:
    """The objects of which a proxy does not use all as it is; its refusals are added to the tally."""
    found: set[ObjectKey] = set()
    for kind, names in session.machine.unsettled().items():
        found.update(_origins(session, kind, names))
    for kind, refused in session.rejections().items():
        for name, rejection in refused.items():
            for key in _origins(session, kind, (name,)):
                found.add(key)
                words = f"{session.id}: {rejection.error}"[:LENGTH]
                tally.errors.setdefault(key, []).append(words)
    return frozenset(found)


def _origins(session: Session, kind: str, names: Iterable[str]) -> set[ObjectKey]:
    wanted = session.machine.watches[kind].wanted
    return {origin for name in names if name in wanted for origin in wanted[name].origins}
