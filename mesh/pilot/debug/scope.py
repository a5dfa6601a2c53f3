"""Which resources of which proxies a change concerns, and how far they are with them.

Fixed when it is made, so that what changes afterwards is not waited for; proxies that leave drop out.
"""

import time
from collections.abc import Iterator, Mapping, Set
from typing import Any

from mesh.model import ObjectKey
from mesh.pilot.ads.messages import Rejection
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.session import Session
from mesh.pilot.metrics import short

Names = Mapping[str, frozenset[str]]
"""Names of resources by type."""


class Concern:
    """What a change concerns at one proxy: `names`, or all that it has, if `everything`."""

    def __init__(self, session: Session, names: Names, *, everything: bool) -> None:
        self.session = session
        self.names = names
        self.everything = everything
        self.in_force_at: float | None = None

    def __repr__(self) -> str:
        return f"<Concern of {self.session.id}, open {self.open()}>"

    def open(self) -> Names:
        """What the proxy has yet to accept, with all that this waits for."""
        if self.session.closed:
            return {}
        if self.session.failure is not None:
            return {"": frozenset({f"Pilot to compile its resources ({self.session.failure})"})}
        machine = self.session.machine
        unsettled = machine.unsettled()
        names = unsettled if self.everything else self.names
        left = {kind: names[kind] & unsettled.get(kind, frozenset()) for kind in names}
        for type_url, name in machine.owed if self.everything else self._waits():
            if (type_url, name) in machine.owed:
                left[type_url] = left.get(type_url, frozenset()) | {name}
        return {type_url: each for type_url, each in left.items() if each}

    def _waits(self) -> Iterator[tuple[str, str]]:
        for kind, names in self.names.items():
            wanted = self.session.machine.watches[kind].wanted
            for name in names & wanted.keys():
                yield from wanted[name].waits_for

    def waiting_for(self) -> list[str]:
        """What is open, for people: `frontend.weather: RDS 3002`."""
        return [
            f"{self.session.id}: {short(kind)} {name}" if kind else f"{self.session.id}: {name}"
            for kind, names in self.open().items()
            for name in sorted(names)
        ]

    def rejections(self, scope: "Scope") -> Iterator[dict[str, str]]:
        """What the proxy refuses of it, with its words."""
        for kind, refused in self.session.rejections().items():
            for name, rejection in refused.items():
                if self._ours(scope, kind, rejection):
                    yield {
                        "proxy": self.session.id,
                        "type": short(kind),
                        "resource": name,
                        "message": rejection.error,
                    }

    def _ours(self, scope: "Scope", kind: str, rejection: Rejection) -> bool:
        """Whether a refusal is of what came from one of the objects, or of what their change made it."""
        wanted = self.session.machine.watches[kind].wanted.get(rejection.name)
        if not scope.keys or (wanted is not None and not scope.keys.isdisjoint(wanted.origins)):
            return True
        touched = [
            touch.snapshot
            for touch in self.session.touched
            if touch.snapshot <= rejection.snapshot and rejection.name in touch.names.get(kind, ())
        ]
        return bool(touched) and touched[-1] in scope.brought

    def plain(self, scope: "Scope") -> dict[str, Any]:
        """As JSON values; times in milliseconds since Pilot saw the change."""
        answers = [
            delivery.answered_at
            for delivery in self.session.journal
            if delivery.answered_at is not None
            and delivery.snapshot >= scope.first
            and delivery.names & self.names.get(delivery.type_url, frozenset())
        ]
        return {
            "proxy": self.session.id,
            "changed": [f"{short(kind)} {name}" for kind in self.names for name in sorted(self.names[kind])],
            "ackMs": scope.since(max(answers)) if answers else None,
            "inForceMs": scope.since(self.in_force_at) if self.in_force_at is not None else None,
        }


class Scope:
    """The change of some objects, at all proxies: what the snapshots since their last change brought.

    An object that has not changed since Pilot began counts as everything that every proxy has; so does a
    change without objects.
    """

    def __init__(self, pushes: Pushes, keys: Set[ObjectKey]) -> None:
        brought = [pushes.history.snapshot_of(key) for key in keys]
        self.brought = frozenset(each for each in brought if each is not None)
        self.keys = keys
        self.first = min(self.brought) if brought and None not in brought else 0
        self.began = pushes.history.started(self.first) or time.time()
        found = map(self._concern, pushes.sessions)
        self.concerns = [concern for concern in found if concern is not None]
        self.left = list(self.concerns)

    def __repr__(self) -> str:
        return f"<Scope from snapshot {self.first}, {len(self.left)} of {len(self.concerns)} proxies left>"

    def _concern(self, session: Session) -> Concern | None:
        touches = session.touches(self.first)
        names: dict[str, frozenset[str]] = {}
        for touch in touches or ():
            for kind, each in touch.names.items():
                names[kind] = names.get(kind, frozenset()) | each
        everything = touches is None or session.connected_version >= self.first
        if not names and not everything and session.failure is None:
            return None
        return Concern(session, names, everything=everything)

    def settled(self) -> bool:
        """Whether every proxy has accepted or refused its part; once it has, it counts for good."""
        while self.left and not self.left[-1].open():
            self.left.pop()
        return not self.left

    def since(self, moment: float) -> float:
        """Milliseconds from the change to a moment."""
        return round(max(0.0, moment - self.began) * 1000, 3)
