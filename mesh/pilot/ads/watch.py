"""One type of resource on one stream: what is wanted, what the client holds, what is still due.

Knows nothing of other types, of order or of bytes. At most one response is under way; what changes meanwhile
is gathered until the client has answered.

A NACK names no resource in a form to rely on, and Envoy stops at the first bad one for some types. So a
refused response of several resources is offered again in halves, until those that are refused stand alone:
the good ones get through, and the culprit is known by name. It is not offered again until it changes.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.pilot.ads.messages import WILDCARD, Answer, Rejection, Response
from mesh.pilot.types import CDS, LDS, Resource

# Types of which a client may ask for all, and of which a state-of-the-world message carries the whole state.
FULL_STATE = frozenset({LDS, CDS})

ABSENT = Resource(
    name="", type_url="", version="", payload=b"", origins=(), waits_for=frozenset()
)  # the client was told that a name it asked for does not exist


@dataclass(slots=True)
class Watch:
    """The state of one type on one stream. `pending` names what differs from what the client holds."""

    type_url: str
    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    wanted: Mapping[str, Resource] = field(default_factory=dict)
    accepted: dict[str, Resource] = field(default_factory=dict)
    rejected: dict[str, Rejection] = field(default_factory=dict)
    in_flight: Response | None = None
    last_nonce: str = ""
    version: int = 0
    pending: set[str] = field(default_factory=set)
    forced: set[str] = field(default_factory=set)
    suspects: deque[frozenset[str]] = field(default_factory=deque)
    greeting_due: bool = False
    returning: bool = False

    def subscribed(self, name: str) -> bool:
        """Whether the client asked for this resource, by name or by asking for all."""
        return name in self.names or (self.wildcard and name in self.wanted)

    def told(self, name: str) -> bool:
        """Whether the client has been sent something about this name that still holds, answered or not."""
        return name in self.accepted or self._under_way(name)

    def _under_way(self, name: str) -> bool:
        return self.in_flight is not None and name in self.in_flight.names

    # What the client asks for

    def subscribe(self, names: Iterable[str]) -> None:
        """Add names; one that was already there or is under way is sent again: the client may drop it."""
        for name in names:
            if name == WILDCARD:
                self.wildcard = True
                continue
            if self.subscribed(name) or self._under_way(name):
                self.force(name)
            self.names.add(name)
            self._consider(name)

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Take names away. One that the wildcard still covers is sent again: the client cannot know."""
        for name in names:
            if name == WILDCARD:
                self.wildcard = False
                self._forget_all_but_named()
                continue
            self.names.discard(name)
            if self.wildcard:
                self.force(name)
            else:
                self._forget(name)

    def replace_names(self, names: Iterable[str]) -> None:
        """Make `names` the whole subscription, as every state-of-the-world request does."""
        new, before = set(names), self.names
        self.wildcard = WILDCARD in new or (self.wildcard and not new)
        self.names = new - {WILDCARD}
        if not self.wildcard:
            self._forget_all_but_named()
        for name in self.names - before:
            if self._under_way(name):
                self.force(name)
            self._consider(name)

    def remember(self, versions: Mapping[str, str], *, current: bool = True) -> None:
        """Take note of what the client holds from an earlier stream.

        If not `current`, it is sent again nevertheless. So are endpoints: if the stream was lost between a
        changed cluster and its endpoints, Envoy still waits for them though it holds the same ones. Those
        that are gone are said to be gone at once, which ends its wait; clusters in use keep what they have.
        """
        self.returning = bool(versions)
        for name, version in versions.items():
            self.accepted[name] = Resource(
                name=name,
                type_url=self.type_url,
                version=version if current else "",
                payload=b"",
                origins=(),
                waits_for=frozenset(),
            )

    def force(self, name: str) -> None:
        """Send a resource again though its version is what the client holds."""
        self.forced.add(name)
        self.pending.add(name)

    def _forget_all_but_named(self) -> None:
        for name in {*self.accepted, *self.rejected, *self.pending} - self.names:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self.accepted.pop(name, None)
        self.rejected.pop(name, None)
        self.forced.discard(name)
        self.pending.discard(name)

    # What it shall have

    def want(self, wanted: Mapping[str, Resource], version: int) -> frozenset[str]:
        """Set what the client shall have as of a snapshot; gives back the names that this changed."""
        old, self.wanted, self.version = self.wanted, wanted, version
        if wanted is old:
            return frozenset()
        touched = {name for name, new in wanted.items() if not _same(old.get(name), new)}
        touched.update(name for name in old if name not in wanted)
        for name in touched:
            self._consider(name)
        return frozenset(touched)

    def consider_all(self) -> None:
        """Compare everything anew, as after a first request that said what the client holds."""
        for name in {*self.wanted, *self.accepted, *self.names}:
            self._consider(name)

    def _consider(self, name: str) -> None:
        new, refused = self.wanted.get(name), self.rejected.get(name)
        if refused is not None and (new is None or new.version != refused.version):
            del self.rejected[name]
        if self._differs(name):
            self.pending.add(name)
        else:
            self.pending.discard(name)

    def _differs(self, name: str) -> bool:
        new, held = self.wanted.get(name), self.accepted.get(name)
        if new is None:
            return name in self.forced or (held is not ABSENT if held else name in self.names)
        if name in self.forced:
            return True
        refused = self.rejected.get(name)
        if refused is not None and refused.version == new.version:
            return False
        return held is None or held.version != new.version

    # What is due

    def due(self, *, removals: bool = True) -> tuple[tuple[Resource, ...], tuple[str, ...]]:
        """Resources to send and names to say gone. Without `removals`, what the client holds is kept."""
        names = self._suspected() if self.suspects else self.pending
        changed = tuple(self.wanted[name] for name in sorted(names) if name in self.wanted)
        gone = (name for name in sorted(names) if name not in self.wanted)
        removed = tuple(name for name in gone if removals or self.suspects or not self._holds(name))
        return changed, removed

    def _suspected(self) -> frozenset[str]:
        while self.suspects:
            group = self.suspects[0] & self.pending
            if group:
                return group
            self.suspects.popleft()
        return frozenset(self.pending)

    def _holds(self, name: str) -> bool:
        """Whether the client has it for sure. Endpoints from an earlier stream it may be waiting for."""
        held = self.accepted.get(name, ABSENT)
        return held is not ABSENT and held.version != ""

    @property
    def additions_due(self) -> bool:
        """Whether something is to be sent that the client lacks or has in another version."""
        return any(name in self.wanted for name in self.pending)

    @property
    def settled(self) -> bool:
        """Whether the client has answered for all that it shall have. Refused resources count as answered."""
        return self.in_flight is None and not self.pending

    def full_state(self, changed: Iterable[Resource], removed: Iterable[str]) -> tuple[Resource, ...]:
        """The whole state once a change is in; for what is refused or not to go yet, what the client has."""
        state = {name: held for name, held in self.accepted.items() if held is not ABSENT}
        state.update((resource.name, resource) for resource in changed)
        for name in removed:
            state.pop(name, None)
        return tuple(state[name] for name in sorted(state))

    def sent(self, response: Response) -> None:
        """Note that a response is under way."""
        self.in_flight = response
        self.last_nonce = response.nonce
        self.greeting_due = False
        self.pending -= response.names
        self.forced -= response.names

    def supersede(self, names: Iterable[str]) -> None:
        """What is under way of these need not be answered any more: it is sent anew as it is now."""
        response = self.in_flight
        if response is not None and not response.names.isdisjoint(names):
            self.in_flight = None
            for name in response.names:
                self.force(name)

    # What the client said

    def answered(self, nonce: str, error: str | None) -> Answer | None:
        """Take an ACK or NACK; None if it is not for the response that is under way."""
        response = self.in_flight
        if response is None or response.nonce != nonce:
            return None
        self.in_flight = None
        if error is None:
            self._accept(response)
        else:
            self._refuse(response, error)
        for name in response.names:
            self._consider(name)
        return Answer(response, error)

    def settle_absent(self, names: Iterable[str]) -> None:
        """Count removals as said: a state-of-the-world message has no words for them."""
        for name in names:
            self._gone(name)
            self._consider(name)

    def _accept(self, response: Response) -> None:
        for resource in response.changed:
            self.rejected.pop(resource.name, None)
            if self.subscribed(resource.name) or self.wildcard:
                self.accepted[resource.name] = resource
        for name in response.removed:
            self._gone(name)

    def _gone(self, name: str) -> None:
        self.rejected.pop(name, None)
        self.forced.discard(name)
        if name in self.names:
            self.accepted[name] = ABSENT
        else:
            self.accepted.pop(name, None)

    def _refuse(self, response: Response, error: str) -> None:
        names = sorted(response.names)
        if len(names) > 1:
            half = len(names) // 2
            self.suspects.extendleft((frozenset(names[half:]), frozenset(names[:half])))
            self.forced.update(names)
            return
        for name in response.removed:
            self._gone(name)
        for resource in response.changed:
            self.forced.discard(resource.name)
            self.rejected[resource.name] = Rejection(
                resource.name, resource.version, error, response.nonce, response.version
            )


def _same(old: Resource | None, new: Resource) -> bool:
    return old is new or (old is not None and old.version == new.version)
