"""Keeps the ledger small, and knows from it whether the control plane itself follows a rotation."""

from collections.abc import Iterator

from mesh.citadel.authority import Authority
from mesh.citadel.ledger import Ledger
from mesh.citadel.metrics import Metrics
from mesh.citadel.settings import CitadelSettings
from mesh.pki.clock import Clock
from mesh.pki.spiffe import Identity


class Upkeep:
    """Looks through the ledger now and then."""

    def __init__(self, ledger: Ledger, metrics: Metrics, clock: Clock) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock

    async def step(self) -> None:
        """Forget certificates that ended a while ago, and count those that are valid."""
        now = self._clock()
        await self._ledger.drop(self._ledger.forget(now))
        self._metrics.live.set(sum(1 for _ in self._ledger.live(now)))

    def behind(self, settings: CitadelSettings, authority: Authority) -> Iterator[str]:
        """The accounts of the control plane whose newest certificate is not of the present authority.

        They serve what the mesh stands on, and no barrier tells of them.
        """
        now = self._clock()
        for account in settings.services:
            identity = Identity(settings.trust_domain, settings.namespace, account)
            lines = [line for line in self._ledger.of(identity.uri) if line.ends > now]
            newest = max(lines, key=lambda line: line.issued, default=None)
            if newest is not None and newest.issuer != authority.id:
                yield f"{account} to renew its certificate"
