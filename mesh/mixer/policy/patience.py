"""Whether a caller has waited for too long already, so that an answer would come too late for it.

Where more is asked than can be answered, questions wait before anybody looks at them. Answered in their
order, each would be answered just after its proxy gave up, and no work would be of use. So those that have
waited for more than half of their time are turned away, and the others are answered in time. How long a proxy
waits is not told; the most that is left of its deadline, lately, is nearly that.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 30.0
"""Seconds after which the longest wait is found anew, from the window before and this one."""

CONNECTIONS = 10_000


@dataclass(slots=True)
class Longest:
    """The most time that questions of a connection had left, in this window and in the one before."""

    until: float
    now: float = 0.0
    before: float = 0.0


class Patience:
    """Follows the deadlines of each connection."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._connections: OrderedDict[str, Longest] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Patience with {len(self._connections)} connections>"

    def late(self, connection: str, left: float | None) -> bool:
        """Whether a question with so many seconds left has waited too long; without a deadline none has."""
        if left is None:
            return False
        longest = self._longest(connection)
        longest.now = max(longest.now, left)
        return left < max(longest.now, longest.before) / 2

    def _longest(self, connection: str) -> Longest:
        now = self._clock()
        found = self._connections.get(connection)
        if found is None:
            found = self._connections[connection] = Longest(now + WINDOW)
            if len(self._connections) > CONNECTIONS:
                self._connections.popitem(last=False)
        elif now >= found.until:
            found.until, found.before, found.now = now + WINDOW, found.now, 0.0
        return found
