"""Windows in which an amount may be taken: fixed ones that begin with a taking, and rolling ones.

Times are whole microseconds, so that this arithmetic and that of `redis_scripts`, which says the same in Lua,
agree to the last unit. Nothing here waits or reads a clock.
"""

from dataclasses import dataclass, field
from typing import Protocol

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What was granted, and after how many microseconds there is room for what was asked (0: at once)."""

    granted: int
    retry: int = 0


class Window(Protocol):
    """Counts what was taken; not for several threads."""

    def take(self, now: int, amount: int, *, best_effort: bool = False) -> Taken:
        """Take all of an amount or nothing; with `best_effort` as much as there is room for."""
        ...

    def over(self, now: int) -> bool:
        """Whether nothing is counted any more, so that a new window would say the same."""
        ...


def granted(amount: int, room: int, *, best_effort: bool) -> int:
    """How much of an amount fits.

    >>> granted(5, 3, best_effort=False), granted(5, 3, best_effort=True), granted(2, 3, best_effort=False)
    (0, 3, 2)
    """
    if amount <= room:
        return amount
    return max(0, room) if best_effort else 0


@dataclass(slots=True)
class FixedWindow:
    """At most `limit` within `length` from the first taking on; then all is given back at once.

    Up to twice the limit fits into one `length` across the end of a window, as classic Mixer says of it.
    A `length` of 0 is a window without end: nothing is given back.
    """

    limit: int
    length: int
    begin: int = 0
    used: int = 0

    def take(self, now: int, amount: int, *, best_effort: bool = False) -> Taken:
        """As `Window.take`."""
        if self.over(now):
            self.begin, self.used = now, 0
        found = granted(amount, self.limit - self.used, best_effort=best_effort)
        self.used += found
        # What is larger than the limit never fits: who asks again does so in the next window.
        whole = found == amount or not self.length
        return Taken(found, 0 if whole else max(0, self.begin + self.length - now) or self.length)

    def over(self, now: int) -> bool:
        """As `Window.over`."""
        return not self.used or (self.length > 0 and now >= self.begin + self.length)


@dataclass(slots=True)
class RollingWindow:
    """At most `limit` within any `length`.

    What is taken is counted in buckets of `bucket`, each until its latest part is `length` old: never too
    much is granted, and what was taken is given back at most one bucket late.
    """

    limit: int
    length: int
    bucket: int
    counts: dict[int, int] = field(default_factory=dict)

    def take(self, now: int, amount: int, *, best_effort: bool = False) -> Taken:
        """As `Window.take`."""
        self._drop(now)
        used = sum(self.counts.values())
        found = granted(amount, self.limit - used, best_effort=best_effort)
        if found:
            index = now // self.bucket
            self.counts[index] = self.counts.get(index, 0) + found
        return Taken(found, 0 if found == amount else self._retry(now, used + found - self.limit + amount))

    def over(self, now: int) -> bool:
        """As `Window.over`."""
        return all(now >= self._end(index) for index in self.counts)

    def _end(self, index: int) -> int:
        return (index + 1) * self.bucket + self.length

    def _drop(self, now: int) -> None:
        for index in [each for each in self.counts if now >= self._end(each)]:
            del self.counts[index]

    def _retry(self, now: int, needed: int) -> int:
        """Until so much is given back; what is larger than the limit never fits."""
        for index in sorted(self.counts):
            needed -= self.counts[index]
            if needed <= 0:
                return self._end(index) - now
        return self.length
