"""What happened on connections since the report before: Envoy tells totals, rules want the difference.

A connection whose beginning another process was told of, before this one started or took over, is counted
from the first report that comes here, so that its bytes are not counted twice. One thing cannot be told from
here: a close without a report before it is a short connection's, unless it began before this process did.
"""

from collections.abc import Callable, Iterator
from typing import Any

Values = dict[str, Any]
Key = tuple[str, str]
OPEN, CONTINUE, CLOSE = "open", "continue", "close"
BOUND = 100_000
"""Connections kept; beyond it the oldest is forgotten, and its bytes until its next report are lost."""


class Connections:
    """The connections of all proxies, each from its first report to its last.

    `since` is when this process began (Unix seconds); `adopted` is called for each connection that is older.
    """

    def __init__(
        self, since: float = 0.0, bound: int = BOUND, adopted: Callable[[], None] = lambda: None
    ) -> None:
        self._seen: dict[Key, tuple[int, int]] = {}
        self._since = since
        self._bound = bound
        self._adopted = adopted

    def __len__(self) -> int:
        return len(self._seen)

    def events(
        self, key: Key, values: Values, received: int, sent: int, *, event: str, began: float
    ) -> Iterator[Values]:
        """The reports to make of one entry, which is of a connection's opening, continuing or close.

        `began` is when the connection did (Unix seconds). One that fails at once has a close only, which
        tells of its opening too.
        """
        now = (received, sent)
        before = self._seen.pop(key, None)
        if before is None and (event == CONTINUE or (event == CLOSE and began < self._since)):
            self._adopted()
            before = now
        if before is None:
            before = (0, 0)
            yield {**values, **_counts(OPEN, (0, 0), (0, 0))}
        if event != CLOSE:
            self._keep(key, now)
        if event == CLOSE or now != before:
            yield {**values, **_counts(CLOSE if event == CLOSE else CONTINUE, before, now)}

    def _keep(self, key: Key, now: tuple[int, int]) -> None:
        self._seen[key] = now
        while len(self._seen) > self._bound:
            del self._seen[next(iter(self._seen))]


def _counts(event: str, before: tuple[int, int], now: tuple[int, int]) -> Values:
    return {
        "connection.event": event,
        "connection.received.bytes": now[0] - before[0],
        "connection.received.bytes_total": now[0],
        "connection.sent.bytes": now[1] - before[1],
        "connection.sent.bytes_total": now[1],
    }
