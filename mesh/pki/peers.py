"""Whether a peer's certificate is good now: asked on every call, because gRPC asks only at the handshake.

gRPC checks no revocation list, and a connection outlives what was true when it began.
"""

from collections.abc import Callable, Sequence

from cryptography import x509

from mesh.pki.bundle import Bundle
from mesh.pki.certificates import chain_problem
from mesh.pki.clock import Clock, utc_now


class PeerCheck:
    """Checks peers against the trust that `trust` gives when it is asked."""

    def __init__(self, trust: Callable[[], Bundle], *, clock: Clock = utc_now) -> None:
        self._trust = trust
        self._clock = clock

    def problem(self, chain: Sequence[x509.Certificate]) -> str | None:
        """Why the peer with that chain (leaf first) is refused now, or None."""
        trust = self._trust()
        for certificate in chain:
            reason = trust.revocations.reason(certificate)
            if reason:
                return f"the certificate with {reason}"
        return chain_problem(chain, trust.certificates, self._clock())
