"""What happened on connections since the report before: Envoy tells totals, rules want the difference."""

from collections.abc import Iterator
from typing import Any

Values = dict[str, Any]
OPEN, CONTINUE, CLOSE = "open", "continue", "close"
BOUND = 100_000
"""Connections kept; the oldest is forgotten beyond it, and begins anew."""


class Connections:
    """The connections of all proxies, each from its first report to its last."""

    def __init__(self, bound: int = BOUND) -> None:
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}
        self._bound = bound

    def __len__(self) -> int:
        return len(self._seen)

    def events(
        self, key: tuple[str, str], values: Values, received: int, sent: int, *, ended: bool
    ) -> Iterator[Values]:
        """The reports to make of one entry: of one that is seen for the first time, its opening too."""
        before = self._seen.pop(key, None)
        if before is None:
            before = (0, 0)
            yield {**values, **_counts(OPEN, (0, 0), (0, 0))}
        now = (received, sent)
        if not ended:
            self._keep(key, now)
        if ended or now != before:
            yield {**values, **_counts(CLOSE if ended else CONTINUE, before, now)}

    def _keep(self, key: tuple[str, str], now: tuple[int, int]) -> None:
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
