"""Says when everybody has the newest trust bundle, so that Citadel may take the next step of a rotation.

Everybody: all proxies and agents that are connected and ask for it, and nobody away who runs. An agent
accepts a bundle only once its own certificate is good under it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable

import structlog

from mesh.model import ConfigObject, ObjectKey
from mesh.model.trust import ROOTCA
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.session import Session
from mesh.pilot.types import SDS
from mesh.pilot.world import World

LOOK = 0.5
"""Seconds between looks without a notice: that a workload runs or ends gives none."""

RETRY = 1.0
"""Seconds until a failed announcement is tried again."""

log = structlog.get_logger(component="trust")


async def nobody(digest: str) -> None:
    """Tell nobody."""


class Programmed:
    """Calls `announce` with the digest of each trust bundle, once everybody has it.

    What `announce` raises is logged, and it is called again.
    """

    def __init__(
        self,
        world: World,
        pushes: Pushes,
        key: ObjectKey,
        announce: Callable[[str], Awaitable[None]] = nobody,
    ) -> None:
        self._world = world
        self._pushes = pushes
        self._key = key
        self._announce = announce
        self.announced = ""
        """The digest that was announced last."""
        self._newest: ConfigObject | None = None
        self._digest = ""
        self._left: list[Session] = []
        self._left_of = ""

    def __repr__(self) -> str:
        return f"<Programmed up to {self.announced[:12]}>"

    async def run(self) -> None:
        """Announce for ever."""
        while True:
            await self._pushes.sessions.notice.wait_for(self.due, deadline=math.inf, every=LOOK)
            digest = self.digest()
            try:
                await self._announce(digest)
            except Exception as error:
                log.warning("cannot announce the trust bundle", error=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY)
                continue
            log.info("trust is in force everywhere", digest=digest[:12])
            self.announced = digest

    def digest(self) -> str:
        """Names the newest bundle; empty as long as there is none."""
        held = self._world.config.objects().get(self._key)
        if held is not self._newest:  # asked at each notice, and a long list takes a while to hash
            self._newest, self._digest = held, held.spec.digest if held is not None else ""
        return self._digest

    def due(self) -> bool:
        """Whether everybody has the newest bundle and nobody has been told."""
        digest = self.digest()
        if digest in ("", self.announced) or self._pushes.done < self._pushes.asked:
            return False
        if digest != self._left_of:
            self._left, self._left_of = list(self._pushes.sessions), digest
        while self._left and has_trust(self._left[-1]):
            self._left.pop()
        return not self._left and not any(self.missing())

    def missing(self) -> Iterable[str]:
        """Who does not have it: who is connected and has not accepted it, and who runs and is away."""
        sessions = self._pushes.sessions
        yield from (session.id for session in sessions if not has_trust(session))
        connected = {session.id for session in sessions}
        for name in sorted(self._world.expected()):
            yield from (each for each in (name, f"{name} (agent)") if each not in connected)


def has_trust(session: Session) -> bool:
    """Whether a client has accepted the newest bundle, is gone, or has not asked for any."""
    watch = session.machine.watches.get(SDS)
    if session.closed or watch is None or ROOTCA not in watch.names:
        return session.closed or not session.is_agent
    wanted, held = watch.wanted.get(ROOTCA), watch.accepted.get(ROOTCA)
    return wanted is not None and held is not None and held.version == wanted.version
