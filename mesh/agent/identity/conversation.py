"""SDS as a state machine without I/O: one stream's requests in, its answers out, delta or state-of-the-world.

Source: Envoy's description of the xDS protocol (nonces, ACK, NACK, subscription by name).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from mesh.agent.identity.shelf import NAMES, Shelf, Stored


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the answer that it replies to, Envoy's refusal of it, and which secrets it wants.

    In the delta form `wanted` and `unwanted` change the subscription; in the other, `wanted` is all of it.
    """

    nonce: str = ""
    error: str | None = None
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: secrets, and the names that there is nothing behind."""

    nonce: str
    secrets: tuple[Stored, ...]
    absent: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version of the whole, for the state-of-the-world form."""
        return "-".join(each.version for each in self.secrets)


class Conversation:
    """One stream. `acked` and `refused` tell what Envoy thinks of the newest version of each secret."""

    def __init__(self, shelf: Shelf, *, sotw: bool) -> None:
        self.sotw = sotw
        self.names: set[str] = set()
        self.acked: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self._shelf = shelf
        self._sent: dict[str, str] = {}
        self._told_absent: set[str] = set()
        self._pending: dict[str, dict[str, str]] = {}
        self._nonces = count(1)
        self._newest = ""

    def __repr__(self) -> str:
        form = "state of the world" if self.sotw else "delta"
        return f"<Conversation ({form}) about {', '.join(sorted(self.names)) or 'nothing'}: {self.acked}>"

    def receive(self, asked: Asked) -> Answer | None:
        """Take a request; the answer that is due now."""
        if self.sotw and asked.nonce not in ("", self._newest):
            return None  # it replies to an older answer; one to the newest is on its way
        self._settle(asked.nonce, asked.error)
        if self.sotw:
            self._drop(self.names - set(asked.wanted))
            self.names = set(asked.wanted)
        else:
            self._subscribe(asked)
        return self.due()

    def due(self) -> Answer | None:
        """What has changed since it was sent, if anything."""
        stored = [found for name in sorted(self.names) if (found := self._shelf.get(name))]
        changed = [each for each in stored if self._sent.get(each.name) != each.version]
        absent = () if self.sotw else tuple(sorted(self.names - NAMES - self._told_absent))
        if not changed and not absent:
            return None
        return self._answer(tuple(stored if self.sotw else changed), absent)

    def settled(self, name: str, version: str) -> bool:
        """Whether Envoy has said yes or no to this version, or does not want the secret here."""
        return name not in self.names or self.acked.get(name) == version or name in self.refused

    def _answer(self, secrets: tuple[Stored, ...], absent: tuple[str, ...]) -> Answer:
        answer = Answer(str(next(self._nonces)), secrets, absent)
        versions = {each.name: each.version for each in secrets}
        self._sent |= versions
        self._told_absent |= set(absent)
        if self.sotw:
            self._pending.clear()  # only the newest answer counts
        self._newest = answer.nonce
        self._pending[answer.nonce] = versions
        for name in versions:
            self.refused.pop(name, None)
        return answer

    def _settle(self, nonce: str, error: str | None) -> None:
        """Note what Envoy thinks of an answer; a nonce may come again with another subscription."""
        versions = self._pending.pop(nonce, {})
        newest = {name: version for name, version in versions.items() if self._sent.get(name) == version}
        if error is None:
            self.acked |= newest
        else:
            self.refused |= dict.fromkeys(newest, error)

    def _subscribe(self, asked: Asked) -> None:
        for name in asked.wanted:
            self.names.add(name)
            self._sent.pop(name, None)  # asked for again: sent again, as the protocol has it
            self._told_absent.discard(name)
        for name, version in asked.known.items():
            self._sent[name] = self.acked[name] = version
        self._drop(asked.unwanted)

    def _drop(self, names: Iterable[str]) -> None:
        """What Envoy does not want any more it forgets: asked for again, it is sent again."""
        for name in names:
            self.names.discard(name)
            for kept in (self._sent, self.acked, self.refused):
                kept.pop(name, None)
