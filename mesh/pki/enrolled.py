"""A process of the control plane that gets its certificate from a Citadel elsewhere, as any workload does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.model.trust import TrustBundle
from mesh.pki.client import CitadelClient
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust

ROOT_CERT = Path("/var/run/secrets/istio/root-cert.pem")
TOKEN = Path("/var/run/secrets/tokens/istio-token")
MUTUAL_PORT = 8061


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Where Citadel is (`host:port` for tokens), and the files that a Pod is given.

    `name` is what Citadel's certificate must say, if it is not the host of its address.
    """

    citadel: str
    mutual_port: int = MUTUAL_PORT
    root_cert: Path = ROOT_CERT
    token: Path = TOKEN
    name: str = ""

    @property
    def mutual(self) -> str:
        """Where certificates are renewed."""
        return f"{self.citadel.rpartition(':')[0]}:{self.mutual_port}"


@asynccontextmanager
async def enrolled(identity: Identity, enrolment: Enrolment) -> AsyncIterator[tuple[Holder, Trust]]:
    """The certificate, kept fresh, and what the mounted root makes trusted at first.

    Waits until Citadel has signed, for ever if need be; what fails meanwhile is in the log. Whoever learns of
    another trust replaces it, and the certificate follows. Raises `OSError` if the file of the root cannot be
    read, `ValueError` if no certificate is in it.
    """
    trust = Trust(TrustBundle(enrolment.root_cert.read_text()))
    signer = CitadelClient(
        enrolment.citadel,
        enrolment.mutual,
        trust.roots,
        enrolment.token.read_text,
        server_name=enrolment.name,
    )
    holder = Holder(identity, signer)
    async with renewing(holder, trust):
        yield holder, trust
