"""Answers that adapters said may be used again, by the attributes that they were made from.

As in classic Mixer: an answer's key is the attributes that its making referred to, with their values, absent
ones too; two calls that agree on these get the same answer, however they differ otherwise. `scope` is what
decides which rules are looked at before any attribute is.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.mixer.bag import Reference, hashable, value_of
from mesh.mixer.policy.verdict import Verdict

SIGNATURES = 32
"""Sets of references kept for a scope: rules make few, callers who choose map keys must not make many."""

Signature = tuple[Reference, ...]


@dataclass(slots=True)
class Entry:
    """An answer and how long (seconds of the monotonic clock) and often it may still be used."""

    verdict: Verdict
    until: float
    uses: int


class CheckCache:
    """At most `size` answers; the one that was not used for longest goes first."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._signatures: dict[Hashable, dict[Signature, None]] = {}
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()

    def __repr__(self) -> str:
        return f"<CheckCache of {len(self._entries)} answers, {self._size} at most>"

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, scope: Hashable, values: Mapping[str, Any]) -> Verdict | None:
        """The answer for a call, if there is one that may be used; this use counts."""
        for signature in self._signatures.get(scope, ()):
            key = (scope, signature, tuple([value_of(values, each) for each in signature]))
            entry = self._entries.get(key)
            if entry is not None and self._usable(key, entry):
                return entry.verdict
        return None

    def _usable(self, key: Hashable, entry: Entry) -> bool:
        if self._clock() >= entry.until or entry.uses <= 0:
            del self._entries[key]
            return False
        entry.uses -= 1
        self._entries.move_to_end(key)
        return True

    def put(
        self,
        scope: Hashable,
        references: Mapping[Reference, Any],
        verdict: Verdict,
        seconds: float,
        uses: int,
    ) -> None:
        """Keep an answer that was made from `references`; its making was the first of `uses`."""
        if seconds <= 0 or uses <= 1 or self._size <= 0:
            return
        signature = tuple(references)
        self._remember(scope, signature)
        key = (scope, signature, tuple(map(hashable, references.values())))
        self._entries[key] = Entry(verdict, self._clock() + seconds, uses - 1)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def _remember(self, scope: Hashable, signature: Signature) -> None:
        known = self._signatures.setdefault(scope, {})
        known[signature] = None
        if len(known) > SIGNATURES:
            del known[next(iter(known))]


def shortest(pairs: Iterable[tuple[float, int]]) -> tuple[float, int]:
    """Seconds and uses that hold for all of several results; none at all for no results."""
    pairs = list(pairs)
    if not pairs:
        return 0.0, 0
    return min(seconds for seconds, _ in pairs), min(uses for _, uses in pairs)
