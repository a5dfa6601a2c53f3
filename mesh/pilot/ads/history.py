"""The last pushes: what caused each snapshot, and what it changed for whom."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mesh.model import ObjectKey


@dataclass(slots=True)
class Push:
    """One snapshot on its way to the proxies. `started` as `time.time`, durations in milliseconds.

    `started` is when the change that it brings was seen; `proxies` and `resources` count those that differ.
    """

    snapshot: int
    causes: frozenset[ObjectKey]
    started: float
    build_ms: float = 0.0
    push_ms: float = 0.0
    resources: int = 0
    proxies: list[str] = field(default_factory=list)


class History:
    """The last pushes, and for each object the last snapshot that brought a change of it."""

    def __init__(self, size: int = 256) -> None:
        self._pushes: deque[Push] = deque(maxlen=size)
        self._brought: dict[ObjectKey, int] = {}

    def __iter__(self) -> Iterator[Push]:
        """The oldest first."""
        return iter(self._pushes)

    def add(self, push: Push) -> None:
        """Note a push."""
        self._pushes.append(push)
        self.brought(push.causes, push.snapshot)

    def brought(self, causes: Iterable[ObjectKey], snapshot: int) -> None:
        """Note that a snapshot holds the last change of these objects."""
        self._brought.update(dict.fromkeys(causes, snapshot))

    def without_effect(self, causes: Iterable[ObjectKey], snapshot: int) -> None:
        """Note a change that made no snapshot: what the objects brought before is still what counts.

        Else a status that is written after a refusal would make an object look as if it had never been sent.
        """
        for cause in causes:
            self._brought.setdefault(cause, snapshot)

    def snapshot_of(self, key: ObjectKey) -> int | None:
        """The snapshot that brought the object's last change; None if none has since Pilot began."""
        return self._brought.get(key)

    def since(self, snapshot: int) -> Iterable[Push]:
        """Pushes of that snapshot and later ones."""
        return [push for push in self._pushes if push.snapshot >= snapshot]

    def started(self, snapshot: int) -> float | None:
        """When the change of that snapshot was seen, if it is remembered."""
        return next((push.started for push in self._pushes if push.snapshot == snapshot), None)
