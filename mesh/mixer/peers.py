"""Who calls a Mixer: any proxy of the mesh, known by its certificate, and only about itself.

gRPC has checked at the handshake that the certificate leads to a trusted root. Revocation, expiry and the
trust domain are checked here, for a connection once in `AGAIN` seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mesh.model.service import Workload
from mesh.pki.certificates import identity_of
from mesh.pki.clock import Clock, utc_now
from mesh.pki.peers import PeerCheck
from mesh.pki.serving import peer_chain
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust

AGAIN = 5.0
CONNECTIONS = 10_000


class Stranger(Exception):
    """The caller is not one of the mesh, or asks for another; the text says why."""


class Peers:
    """Knows callers. `domains` are the trust domains of the mesh; none: every one that the roots prove."""

    def __init__(
        self,
        trust: Trust,
        domains: Callable[[], tuple[str, ...]] = tuple,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = PeerCheck(lambda: trust.bundle, clock=clock)
        self._domains = domains
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[Identity, float]] = OrderedDict()
        trust.subscribe(lambda _: self._known.clear())

    def __repr__(self) -> str:
        return f"<Peers: {len(self._known)} connections known>"

    def identity(self, context: Any) -> Identity:
        """Who calls (`grpc.aio.ServicerContext`); raises `Stranger`."""
        connection = context.peer()
        known = self._known.get(connection)
        if known is not None and self._monotonic() < known[1]:
            return known[0]
        found = self._identified(context)
        self._known[connection] = (found, self._monotonic() + AGAIN)
        self._known.move_to_end(connection)
        while len(self._known) > CONNECTIONS:
            self._known.popitem(last=False)
        return found

    def _identified(self, context: Any) -> Identity:
        chain = peer_chain(context)
        if not chain:
            raise Stranger("a certificate of the mesh must be shown, and there was none")
        problem = self._check.problem(chain)
        if problem:
            raise Stranger(problem)
        try:
            found = identity_of(chain[0])
        except ValueError as error:
            raise Stranger(str(error)) from None
        domains = self._domains()
        if domains and found.trust_domain not in domains:
            raise Stranger(f"{found} is of another mesh; this one has {' and '.join(domains)}")
        return found


def belongs(identity: Identity, workload: Workload | None) -> bool:
    """Whether a workload runs as the caller's account; of one that is not known yet it is believed."""
    if workload is None:
        return True
    return (identity.namespace, identity.account) == (workload.namespace, workload.service_account)
