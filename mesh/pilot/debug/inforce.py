"""Whether a change is in force, and waiting until it is.

In force means: Pilot has seen the object in the version asked for (or its deletion); a snapshot that contains
it was compiled; every connected proxy has accepted each resource that this changed for it, with all that
those wait for; and each such proxy's agent says that nothing is warming. A refused resource ends the wait
with Envoy's words. Proxies that the change does not concern are not waited for, whatever they are busy with.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mesh.model import ObjectKey
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.debug.agents import Agents
from mesh.pilot.debug.scope import Concern, Scope

RETURN = 10.0
"""Seconds after its start that Pilot counts running proxies which have yet to connect again."""

LOOK = 0.02
"""Seconds between looks at what was seen: a source need not tell of a new version that means the same."""


class Sources(Protocol):
    """What Pilot has seen of the world's objects."""

    def serves(self, kind: str) -> bool:
        """Whether objects of this kind mean anything to Pilot."""
        ...

    def seen(self, key: ObjectKey) -> str | None:
        """The version of the object that was seen last; None if it does not exist."""
        ...

    def rejected(self, key: ObjectKey) -> str | None:
        """Why the version that was seen last is not in use; None if it is."""
        ...

    def expected(self) -> frozenset[str]:
        """Proxies that run, by `name.namespace`, connected or not."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that shall be in force at a version (at any, if empty), or whose deletion shall."""

    key: ObjectKey
    version: str = ""
    deleted: bool = False

    @classmethod
    def parse(cls, value: Any) -> "Wanted":
        """Read the debug interface's form; `ValueError` names what is wrong."""
        if not isinstance(value, dict) or not value.get("kind") or not value.get("name"):
            raise ValueError(f"an object needs kind and name, and namespace if it has one; got {value!r}")
        unknown = value.keys() - {"kind", "namespace", "name", "resourceVersion", "deleted"}
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)} in {value!r}")
        key = ObjectKey(value["kind"], value.get("namespace") or "", value["name"])
        return cls(key, str(value.get("resourceVersion") or ""), bool(value.get("deleted")))

    def seen_in(self, sources: Sources) -> bool:
        """Whether Pilot has seen it. Versions are compared as numbers where they are numbers."""
        seen = sources.seen(self.key)
        if self.deleted:
            return seen is None
        return seen is not None and _at_least(seen, self.version)

    def problem(self, sources: Sources) -> str:
        """What it still waits for, for people."""
        seen = sources.seen(self.key)
        if self.deleted:
            return f"Pilot to see that {self.key} is deleted (it has version {seen})"
        has = f"it has {seen}" if seen else "it has none"
        return f"Pilot to see {self.key} at version {self.version or 'any'} ({has})"


@dataclass(slots=True)
class Verdict:
    """What came out; `plain` is the debug interface's form."""

    state: str
    snapshot: int
    elapsed_ms: float = 0.0
    proxies: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    waiting_for: list[str] = field(default_factory=list)
    agents: list[dict[str, Any]] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "state": self.state,
            "snapshot": self.snapshot,
            "elapsedMs": round(self.elapsed_ms, 3),
            "proxies": self.proxies,
            "agents": self.agents,
            "errors": self.errors,
            "waitingFor": self.waiting_for,
        }


class Barrier:
    """Waits until changes are in force."""

    def __init__(self, pushes: Pushes, sources: Sources, agents: Agents) -> None:
        self.pushes = pushes
        self.sources = sources
        self.agents = agents
        self._born = time.monotonic()

    async def wait(self, wanted: Sequence[Wanted], *, seconds: float) -> Verdict:
        """Wait for all of `wanted`, at most so long; without any, for all that Pilot has seen so far."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        verdict = await self._wait(wanted, began + seconds)
        verdict.elapsed_ms = (loop.time() - began) * 1000
        return verdict

    async def _wait(self, wanted: Sequence[Wanted], deadline: float) -> Verdict:
        unknown = [str(want.key) for want in wanted if not self.sources.serves(want.key.kind)]
        if unknown:
            errors = [{"message": f"{each}: Pilot does not serve this kind"} for each in unknown]
            return self._verdict("unknown", errors=errors)
        notice = self.pushes.sessions.notice
        if not await notice.wait_for(
            lambda: all(each.seen_in(self.sources) for each in wanted), deadline=deadline, every=LOOK
        ):
            missing = [each.problem(self.sources) for each in wanted if not each.seen_in(self.sources)]
            return self._verdict("timeout", waiting_for=missing)
        if refused := list(self._refused(wanted)):
            return self._verdict("rejected", errors=refused)
        target = self.pushes.asked
        if not await notice.wait_for(lambda: self.pushes.done >= target, deadline=deadline):
            errors = [{"message": self.pushes.failure}] if self.pushes.failure else []
            return self._verdict("timeout", errors=errors, waiting_for=["Pilot to compile the change"])
        if away := await self._returned(deadline, everybody=any(map(_is_trust, wanted))):
            return self._verdict("timeout", waiting_for=[f"{each} to connect again" for each in away])
        return await self._accepted(Scope(self.pushes, {want.key for want in wanted}), deadline)

    async def _returned(self, deadline: float, *, everybody: bool) -> list[str]:
        """After a restart the proxies come back one by one; a change is not in force at who is still away.

        For trust that holds at any time: `everybody` is waited for, and those who are still away named.
        """
        sessions, loop = self.pushes.sessions, asyncio.get_running_loop()
        grace = deadline if everybody else min(deadline, loop.time() + self._born + RETURN - time.monotonic())

        def away() -> list[str]:
            return sorted(self.sources.expected() - {session.id for session in sessions})

        if grace > loop.time():
            await sessions.notice.wait_for(lambda: not away(), deadline=grace, every=LOOK)
        return away() if everybody else []

    def _refused(self, wanted: Iterable[Wanted]) -> Iterator[dict[str, str]]:
        for want in wanted:
            reason = None if want.deleted else self.sources.rejected(want.key)
            if reason is not None:
                yield {"object": str(want.key), "message": reason}

    async def _accepted(self, scope: Scope, deadline: float) -> Verdict:
        await self.pushes.sessions.notice.wait_for(scope.settled, deadline=deadline)
        waiting = [line for concern in scope.left for line in concern.waiting_for()]
        errors = [error for concern in scope.concerns for error in concern.rejections(scope)]
        if errors or waiting:
            return self._verdict(
                "nack" if errors else "timeout", scope=scope, errors=errors, waiting_for=waiting
            )
        return await self._warm(scope, deadline)

    async def _warm(self, scope: Scope, deadline: float) -> Verdict:
        words = await asyncio.gather(*(self._warmed(concern, deadline) for concern in scope.concerns))
        problems = [problem for problem in words if problem]
        return self._verdict("timeout" if problems else "in-force", scope=scope, waiting_for=problems)

    async def _warmed(self, concern: Concern, deadline: float) -> str:
        word = await self.agents.wait(concern.session, deadline=deadline)
        if word:
            return f"{concern.session.id}: {word.problem}"
        concern.in_force_at = time.time()
        return ""

    def _verdict(
        self,
        state: str,
        *,
        scope: Scope | None = None,
        errors: Sequence[dict[str, str]] = (),
        waiting_for: Sequence[str] = (),
    ) -> Verdict:
        concerns = scope.concerns if scope else []
        return Verdict(
            state,
            self.pushes.sessions.snapshot.version,
            proxies=[each.plain(scope) for each in concerns if scope and not each.session.is_agent],
            agents=[each.plain(scope) for each in concerns if scope and each.session.is_agent],
            errors=list(errors),
            waiting_for=list(waiting_for),
        )


def _is_trust(wanted: Wanted) -> bool:
    return wanted.key.kind == "ConfigMap"


def _at_least(seen: str, wanted: str) -> bool:
    if seen.isdecimal() and wanted.isdecimal():
        return int(seen) >= int(wanted)
    return not wanted or seen == wanted
