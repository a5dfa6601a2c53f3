"""Whoever provides the Pod's key and certificate: Citadel over the network, or files that it mounted."""

from collections.abc import Callable
from typing import Protocol

from mesh.agent.environment import EnvironmentProblem, Pod
from mesh.agent.identity.settings import IdentitySettings
from mesh.pki.client import CitadelClient
from mesh.pki.holder import Holder, HolderStatistics
from mesh.pki.keypair import KeyPair
from mesh.pki.signer import Signer, SigningFailed
from mesh.pki.spiffe import Identity


class Certificates(Protocol):
    """Keeps a key and a certificate: `ByCitadel`, or `mesh.agent.identity.mounted.Mounted`."""

    current: KeyPair | None

    @property
    def trouble(self) -> str:
        """Why there is nothing newer than the present certificate, or nothing."""
        ...

    @property
    def statistics(self) -> HolderStatistics:
        """How often a certificate was asked for, and how often in vain."""
        ...

    def seconds_left(self) -> float:
        """Seconds until the certificate expires; negative afterwards, 0 before the first."""
        ...

    def subscribe(self, changed: Callable[[KeyPair], None]) -> None:
        """Call `changed` with each new key and certificate."""
        ...

    async def run(self) -> None:
        """Get the first certificate, and a new one whenever it is time, until cancelled."""
        ...

    async def renew(self, reason: str) -> KeyPair:
        """Get a new certificate now; raises `SigningFailed`."""
        ...


class Recorded:
    """A signer that remembers why it failed last, for those who ask why the Pod is not ready."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.trouble = ""

    async def sign(self, csr: bytes, *, seconds: int, present: KeyPair | None) -> bytes:
        """As the signer does."""
        try:
            chain = await self._signer.sign(csr, seconds=seconds, present=present)
        except SigningFailed as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        return chain


class ByCitadel(Holder):
    """The key made here, the certificate signed by Citadel."""

    def __init__(self, identity: Identity, signer: Recorded, settings: IdentitySettings) -> None:
        super().__init__(identity, signer, algorithm=settings.algorithm, lifetime=settings.lifetime)
        self._recorded = signer

    @property
    def trouble(self) -> str:
        """Why the last request failed, or nothing."""
        return self._recorded.trouble


def by_citadel(settings: IdentitySettings, pod: Pod, roots: Callable[[], bytes]) -> ByCitadel:
    """Ask Citadel by the Pod's token at first, then by the present certificate."""
    client = CitadelClient(settings.citadel, settings.citadel_mutual, roots, settings.token.read_text)
    return ByCitadel(identity_of(settings, pod), Recorded(client), settings)


def identity_of(settings: IdentitySettings, pod: Pod) -> Identity:
    """The Pod's SPIFFE identity; `EnvironmentProblem` if its names make none."""
    try:
        return Identity(settings.trust_domain, pod.namespace, pod.service_account)
    except ValueError as error:
        raise EnvironmentProblem(f"TRUST_DOMAIN, POD_NAMESPACE and SERVICE_ACCOUNT: {error}") from None
