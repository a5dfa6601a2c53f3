"""Remembers what pure functions of a snapshot gave, and finds out which of it still holds in the next one.

A query is a function of a `Reader` and plain arguments. What it looks up in the snapshot and which other
queries it asks is recorded. When the next snapshot comes, only what depends on a changed key is in doubt; a
doubted result is computed again only if something that it used really came out differently, so a change
whose effect ends half-way goes no further. A result that comes out equal stays the same object.

Knows nothing of services or Envoy. One event loop, no threads.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from mesh.pilot.snapshot import Key, Snapshot

SWEEP_EVERY = 256
"""Snapshots between two removals of results that nobody asked for meanwhile."""

Query = Callable[..., Any]


@dataclass(slots=True, eq=False)
class Entry:
    """One remembered result: which snapshots it holds for, and what it came from.

    `since` is the first snapshot with this value, `checked` the last in which it was found to hold, `doubt`
    the first in which that is unknown; `stale` means that a key which it read itself has changed.
    """

    query: Query
    args: tuple[Hashable, ...]
    value: Any = None
    since: int = 0
    checked: int = 0
    doubt: int | None = None
    stale: bool = True
    used: int = 0
    reads: tuple[Key, ...] = ()
    asked: tuple["Entry", ...] = ()
    askers: set["Entry"] = field(default_factory=set)
    earlier: tuple[int, int, Any] | None = None

    def holds_at(self, version: int) -> bool:
        """Whether the value is known to be that of a snapshot."""
        return self.since <= version and (self.doubt is None or version < self.doubt)


@dataclass(slots=True)
class Frame:
    """What one computation has read and asked so far."""

    reads: dict[Key, None] = field(default_factory=dict)
    asked: dict[Entry, None] = field(default_factory=dict)


class Memo:
    """The results for the newest snapshot it has seen, and for older ones as far as they are at hand.

    `reader` makes what queries get: from this memo, the snapshot and the frame that records.
    """

    def __init__(self, reader: Callable[["Memo", Snapshot, Frame], Any]) -> None:
        self.computed = 0
        self.reused = 0
        self._reader = reader
        self._entries: dict[tuple[Query, tuple[Hashable, ...]], Entry] = {}
        self._watchers: dict[Key, set[Entry]] = {}
        self._head = 0
        self._swept = 0

    def __repr__(self) -> str:
        return f"<Memo at {self._head}, {len(self._entries)} results>"

    def statistics(self) -> dict[str, int]:
        """Results computed and reused since the start, and how many are remembered."""
        return {"compiled": self.computed, "reused": self.reused, "remembered": len(self._entries)}

    def value(self, snapshot: Snapshot, query: Query, *args: Hashable) -> Any:
        """What `query` gives for a snapshot."""
        self._advance(snapshot)
        entry = self.ask(snapshot, query, args)
        entry.used = self._head
        return entry.value

    def ask(self, snapshot: Snapshot, query: Query, args: tuple[Any, ...]) -> Entry:
        """The entry that holds the result for a snapshot."""
        if snapshot.version < self._head:
            return self._past(snapshot, query, args)
        entry = self._entries.get((query, args))
        if entry is None:
            entry = Entry(query, args)
            self._compute(entry, snapshot)
            self._entries[query, args] = entry
        elif entry.doubt is not None:
            self._refresh(entry, snapshot)
        else:
            self.reused += 1
        return entry

    def _past(self, snapshot: Snapshot, query: Query, args: tuple[Hashable, ...]) -> Entry:
        """The result for a snapshot that is not the newest; what is not at hand is computed and forgotten."""
        entry = self._entries.get((query, args))
        if entry is not None and entry.holds_at(snapshot.version):
            return entry
        if entry is not None and entry.earlier and entry.earlier[0] <= snapshot.version < entry.earlier[1]:
            return Entry(query, args, entry.earlier[2])
        return Entry(query, args, query(self._reader(self, snapshot, Frame()), *args))

    def _advance(self, snapshot: Snapshot) -> None:
        if snapshot.version <= self._head:
            return
        changed = snapshot.changed_since(self._head)
        self._head = snapshot.version
        if changed is None:
            self._entries.clear()
            self._watchers.clear()
            return
        for key in changed:
            for entry in self._watchers.get(key, ()):
                entry.stale = True
                self._doubt(entry)
        self._sweep()

    def _doubt(self, entry: Entry) -> None:
        doubted = [entry]
        while doubted:
            each = doubted.pop()
            if each.doubt is None:
                each.doubt = self._head
                doubted.extend(each.askers)

    def _refresh(self, entry: Entry, snapshot: Snapshot) -> None:
        if entry.stale or self._differs(entry, snapshot):
            self._compute(entry, snapshot)
            return
        self.reused += 1
        entry.checked, entry.doubt = self._head, None

    def _differs(self, entry: Entry, snapshot: Snapshot) -> bool:
        """Whether anything it asked came out differently; in the order in which it asked."""
        for each in entry.asked:
            if each.doubt is not None:
                self._refresh(each, snapshot)
            if each.since > entry.checked:
                return True
        return False

    def _compute(self, entry: Entry, snapshot: Snapshot) -> None:
        frame = Frame()
        value = entry.query(self._reader(self, snapshot, frame), *entry.args)
        self.computed += 1
        self._unlink(entry)
        self._link(entry, frame)
        if not entry.since or value != entry.value:
            if entry.since:
                entry.earlier = (entry.since, entry.doubt or self._head, entry.value)
            entry.value, entry.since = value, self._head
        entry.checked, entry.doubt, entry.stale = self._head, None, False

    def _link(self, entry: Entry, frame: Frame) -> None:
        entry.reads, entry.asked = tuple(frame.reads), tuple(frame.asked)
        for key in entry.reads:
            self._watchers.setdefault(key, set()).add(entry)
        for each in entry.asked:
            each.askers.add(entry)

    def _unlink(self, entry: Entry) -> None:
        for key in entry.reads:
            watchers = self._watchers[key]
            watchers.discard(entry)
            if not watchers:
                del self._watchers[key]
        for each in entry.asked:
            each.askers.discard(entry)

    def _sweep(self) -> None:
        """From time to time, forget what nobody has asked for since the last sweep."""
        if self._head - self._swept < SWEEP_EVERY:
            return
        kept: set[Entry] = set()
        left = [entry for entry in self._entries.values() if entry.used >= self._swept]
        while left:
            entry = left.pop()
            if entry not in kept:
                kept.add(entry)
                left.extend(entry.asked)
        for place, entry in list(self._entries.items()):
            if entry not in kept:
                self._unlink(entry)
                del self._entries[place]
        self._swept = self._head
