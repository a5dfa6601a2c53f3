"""One connected proxy: its protocol machine, what was sent to it and what it said, and its timer.

Does no I/O itself: responses go to an `outbox` which the gRPC shell empties as fast as the client reads
(flow control: the machine has at most one response of a type under way, so the outbox stays short).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mesh.model import Proxy, ProxyKind
from mesh.pilot.ads.messages import Answer, Rejection, Request, Response, View
from mesh.pilot.ads.protocol import Machine

HOLD_LIMIT = 5.0
"""Seconds that listeners and routes wait for clusters that the client does not take up."""

JOURNAL = 64
"""Deliveries that a session remembers, and pushes that changed something for it."""


@dataclass(slots=True)
class Delivery:
    """One response on its way: what it was about and what became of it. Times as `time.time`."""

    type_url: str
    nonce: str
    snapshot: int
    names: frozenset[str]
    sent_at: float
    answered_at: float | None = None
    error: str | None = None


class Touch(NamedTuple):
    """What one snapshot changed for a proxy: names by type."""

    snapshot: int
    names: Mapping[str, frozenset[str]]


class Session:
    """A proxy's stream from its first request to its end.

    `observe` is called with each delivery when it is sent and when it is answered; `converged` with the
    seconds from a change until the proxy had answered for all that it brought.
    """

    def __init__(
        self,
        proxy: Proxy,
        view: View,
        *,
        sotw: bool,
        peer: str = "",
        observe: Callable[[Delivery], None] = lambda _: None,
        converged: Callable[[float], None] = lambda _: None,
        hold_limit: float = HOLD_LIMIT,
    ) -> None:
        self.proxy = proxy
        self.peer = peer
        self.identity = ""
        """Who its certificate says it is; empty where nobody is asked."""
        self.machine = Machine(view, sotw=sotw)
        self.connected_at = time.time()
        self.connected_version = view.version
        self.outbox: asyncio.Queue[Response] = asyncio.Queue()
        self.journal: deque[Delivery] = deque(maxlen=JOURNAL)
        self.touched: deque[Touch] = deque(maxlen=JOURNAL)
        self.closed = False
        self.failure: str | None = None
        """Why the last snapshot could not be compiled for this proxy."""
        self._observe = observe
        self._converged = converged
        self._converging_since: float | None = None
        self._hold_limit = hold_limit
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[str, Delivery] = {}
        self.sent: dict[str, Delivery] = {}
        self.answered: dict[str, Delivery] = {}

    def __repr__(self) -> str:
        return f"<Session {self.proxy.id} {self.machine!r}>"

    @property
    def id(self) -> str:
        """`name.namespace` of the proxy; its agent's own stream has the same name with ` (agent)` behind."""
        return f"{self.proxy.id} (agent)" if self.is_agent else self.proxy.id

    @property
    def is_agent(self) -> bool:
        """Whether this is not a proxy but the agent beside one."""
        return self.proxy.kind is ProxyKind.AGENT

    @property
    def version(self) -> int:
        """The snapshot that the proxy has been offered."""
        return self.machine.view.version

    def receive(self, request: Request) -> None:
        """Take a request of the client."""
        outcome = self.machine.receive(request)
        if outcome.answer is not None:
            self._note_answer(outcome.answer)
        self._send(outcome.responses)

    def push(self, view: View, *, since: float) -> int:
        """Offer a new view; gives back how many resources it changes for this proxy (sent now or later)."""
        # An agent answers once a bundle is in force in its Pod, which may take a newer one.
        responses, touched = self.machine.update(view, supersede=self.is_agent)
        self.failure = None
        changed = {type_url: names for type_url, names in touched.items() if names}
        if changed:
            self.touched.append(Touch(view.version, changed))
            self._converging_since = self._converging_since or since
        self._send(responses)
        return sum(map(len, changed.values()))

    def close(self) -> None:
        """End the session; nothing is sent any more."""
        self.closed = True
        self._stop_timer()

    def rejections(self) -> dict[str, Mapping[str, Rejection]]:
        """What the proxy refuses now, by type."""
        return {kind: watch.rejected for kind, watch in self.machine.watches.items() if watch.rejected}

    def touches(self, first: int) -> list[Touch] | None:
        """What snapshots from `first` on changed; None if that is too long ago to tell."""
        if self.connected_version >= first:
            return list(self.touched)
        if len(self.touched) == JOURNAL and self.touched[0].snapshot > first:
            return None
        return [touch for touch in self.touched if touch.snapshot >= first]

    def _send(self, responses: tuple[Response, ...]) -> None:
        now = time.time()
        for response in responses:
            delivery = Delivery(response.type_url, response.nonce, response.version, response.names, now)
            self._under_way[response.type_url] = delivery
            self.journal.append(delivery)
            self.sent[response.type_url] = delivery
            self.outbox.put_nowait(response)
            self._observe(delivery)
        self._mind_timer()

    def _note_answer(self, answer: Answer) -> None:
        delivery = self._under_way.pop(answer.response.type_url)
        delivery.answered_at = time.time()
        delivery.error = answer.error
        self.answered[delivery.type_url] = delivery
        self._observe(delivery)
        if self._converging_since is not None and not self.machine.unsettled():
            self._converged(time.time() - self._converging_since)
            self._converging_since = None

    def _mind_timer(self) -> None:
        if not self.machine.holding:
            self._stop_timer()
        elif self._timer is None and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(self._hold_limit, self._release)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        self._timer = None
        self._send(self.machine.release())


def describe(session: Session) -> dict[str, Any]:
    """For logs: which proxy, from where."""
    form = "sotw" if session.machine.sotw else "delta"
    found = {"proxy": session.id, "kind": str(session.proxy.kind), "peer": session.peer, "form": form}
    return found | ({"identity": session.identity} if session.identity else {})
