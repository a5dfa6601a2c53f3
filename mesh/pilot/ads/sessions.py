"""All connected proxies, and the snapshot that they are offered."""

from collections.abc import Iterator

import structlog

from mesh.model import Proxy
from mesh.pilot.ads.notice import Notice
from mesh.pilot.ads.session import HOLD_LIMIT, Delivery, Session, describe
from mesh.pilot.ads.view import CompiledView, Compiler, Snapshot
from mesh.pilot.metrics import Metrics, short

log = structlog.get_logger(component="ads")


class Sessions:
    """The connected proxies. `notice` is given whenever one comes, goes, is sent something or answers."""

    def __init__(
        self, compiler: Compiler, snapshot: Snapshot, metrics: Metrics, *, hold_limit: float = HOLD_LIMIT
    ) -> None:
        self.compiler = compiler
        self.snapshot = snapshot
        self.metrics = metrics
        self.notice = Notice()
        self._hold_limit = hold_limit
        self._sessions: dict[int, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, proxy: Proxy, *, sotw: bool, peer: str = "") -> Session:
        """Begin a session with a proxy that has just connected."""
        view = CompiledView(self.compiler, self.snapshot, proxy)
        session = Session(
            proxy,
            view,
            sotw=sotw,
            peer=peer,
            observe=self._observe,
            converged=self.metrics.convergence.observe,
            hold_limit=self._hold_limit,
        )
        self._sessions[id(session)] = session
        self._count(session, 1)
        self.notice.give()
        return session

    def close(self, session: Session) -> None:
        """End a session whose stream is over."""
        session.close()
        if self._sessions.pop(id(session), None) is not None:
            self._count(session, -1)
        log.info("disconnected", **describe(session))
        self.notice.give()

    def push_to(self, session: Session, snapshot: Snapshot, *, since: float) -> int:
        """Offer a snapshot to one proxy; gives back how many of its resources differ.

        `since` (as `time.time`) is when the change was seen, for the time that it takes to converge.

        A fault in compiling is logged and leaves this proxy with what it has; others are not concerned.
        """
        try:
            return session.push(CompiledView(self.compiler, snapshot, session.proxy), since=since)
        except Exception as error:
            session.failure = f"{type(error).__name__}: {error}"
            self.metrics.internal_errors.inc()
            log.exception("compiling failed", snapshot=snapshot.version, **describe(session))
            return 0

    def _count(self, session: Session, more: int) -> None:
        (self.metrics.agents if session.is_agent else self.metrics.connected).inc(more)

    def _observe(self, delivery: Delivery) -> None:
        kind = short(delivery.type_url)
        if delivery.answered_at is None:
            self.metrics.pushes.labels(type=kind.lower()).inc()
        elif delivery.error is not None:
            self.metrics.rejects.labels(type=kind.lower()).inc()
            log.warning("refused", type=kind, names=sorted(delivery.names)[:10], reason=delivery.error)
        self.notice.give()
