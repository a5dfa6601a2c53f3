"""A running Citadel, put together from its parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from mesh.citadel.callers import Certificates, Tokens
from mesh.citadel.core import Core
from mesh.citadel.errors import Refused
from mesh.citadel.issuing import InProcess, Issuer
from mesh.citadel.keeper import Keeper
from mesh.citadel.kube import Kube, KubeError
from mesh.citadel.ledger import Ledger
from mesh.citadel.loops import Loop
from mesh.citadel.metrics import Metrics
from mesh.citadel.platform import Platform
from mesh.citadel.publishing import Publisher
from mesh.citadel.revocations import Revocations
from mesh.citadel.roots import RootMaps
from mesh.citadel.secrets import Secrets
from mesh.citadel.service import CsrServer, CsrService
from mesh.citadel.settings import CitadelSettings
from mesh.citadel.upkeep import Upkeep
from mesh.citadel.webhooks import Webhooks
from mesh.monitoring import monitored
from mesh.pki.clock import Clock, utc_now
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from mesh.pki.peers import PeerCheck
from mesh.pki.serving import grpc_credentials
from mesh.pki.signer import Signer
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from mesh.ports import bound
from mesh.tasks import background, first_failure, unless_failed

T = TypeVar("T")
PAUSE = 1.0  # seconds before the platform is asked again, when it does not answer at the start

log = structlog.get_logger(component="citadel")

__all__ = ["Citadel", "CitadelSettings", "Refused", "serving"]


@dataclass(slots=True)
class Citadel:
    """A running Citadel. The ports are those that it has; `http` is 0 where another part serves HTTP.

    `signer` gives certificates inside this process, `trust` is what the mesh trusts now, `identity` holds
    the certificate of the account that this process runs as.
    """

    settings: CitadelSettings
    signer: Signer
    trust: Trust
    identity: Holder
    metrics: Metrics
    core: Core
    ledger: Ledger
    token_port: int
    mutual_port: int
    http: int
    tasks: list[asyncio.Task[None]]

    async def finished(self) -> None:
        """Wait until one of its tasks fails, and raise what it raised."""
        await first_failure(self.tasks)


@asynccontextmanager
async def serving(
    settings: CitadelSettings, client: Any, *, clock: Clock = utc_now
) -> AsyncIterator[Citadel]:
    """Run Citadel with a `kubernetes.aio` ApiClient: first trust is published, then CSRs are answered.

    Raises `BadAuthority` if the authority that it is given cannot be used, `CannotListen` if a port is
    taken, `KubeError` if the platform refuses what Citadel needs.
    """
    async with AsyncExitStack() as stack:
        parts = Parts(settings, client, clock)
        await patiently(parts.keeper.load)
        tasks = [background(stack, work, name) for name, work in parts.followers()]
        await unless_failed(parts.platform.synced(), tasks)
        await patiently(parts.core.step)
        identity = await stack.enter_async_context(renewing(parts.holder(), parts.trust))
        parts.watch_identity(identity)
        tasks += [background(stack, loop.run(), name) for name, loop in parts.loops()]
        ports = await _serve(stack, parts, identity)
        log.info(
            "serving", token_port=ports[0], mutual_port=ports[1], http=ports[2], domain=settings.trust_domain
        )
        yield Citadel(
            settings, parts.signer, parts.trust, identity, parts.metrics, parts.core, parts.ledger,
            *ports, tasks,
        )  # fmt: skip


class Parts:
    """All parts of one Citadel, joined to each other."""

    def __init__(self, settings: CitadelSettings, client: Any, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics()
        self.trust = Trust()
        kube = self.kube = Kube(client)
        self.keeper = Keeper(kube, settings, clock)
        self.ledger = Ledger(kube, settings.namespace)
        self.revocations = Revocations(self.ledger, settings.longest_lifetime)
        publisher = Publisher(kube, settings, self.trust, clock)
        self.core = Core(kube, settings, self.keeper, self.revocations, publisher, self.metrics, clock)
        self.issuer = Issuer(settings, self.core.authority, self.ledger, self.revocations, clock)
        self.signer: Signer = InProcess(self.issuer)
        self.platform = Platform(client, settings, self.ledger)
        seen = self.platform
        self.roots = RootMaps(kube, self.trust, seen.namespaces, seen.root_maps)
        self.webhooks = Webhooks(kube, self.trust, seen.webhooks)
        self.secrets = Secrets(
            kube, settings, self.issuer, self.trust, self.metrics, clock,
            namespaces=seen.namespaces, accounts=seen.accounts, secrets=seen.secrets,
        )  # fmt: skip
        self.upkeep = Upkeep(self.ledger, self.metrics, clock)
        self._loops = self._joined()

    def _joined(self) -> dict[str, Loop]:
        """The loops, poked by what concerns them."""
        seen, core = self.platform, Loop("trust", self.core.step)
        loops = {"trust": core, "ledger": Loop("ledger", self.upkeep.step, period=300.0)}
        roots, webhooks = Loop("roots", self.roots.step), Loop("webhooks", self.webhooks.step)
        seen.on_system(core.poke)
        seen.on_roots(roots.poke, core.poke)
        seen.on_webhooks(webhooks.poke, core.poke)
        loops |= {"roots": roots, "webhooks": webhooks}
        self.core.waiting += [self.roots.waiting, self.webhooks.waiting]
        followers = [roots, webhooks]
        if self.settings.classic_secrets:
            secrets = loops["secrets"] = Loop("secrets", self.secrets.step)
            seen.on_secrets(secrets.poke, core.poke)
            self.core.waiting.append(self.secrets.waiting)
            followers.append(secrets)
        for loop in followers:
            self.trust.subscribe(loop.poke)
        return loops

    def followers(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run before anything can be issued."""
        return [*self.platform.runs(), ("ledger writer", self.ledger.run())]

    def loops(self) -> list[tuple[str, Loop]]:
        """What keeps the platform right."""
        return list(self._loops.items())

    def holder(self) -> Holder:
        """The certificate of this process."""
        settings = self.settings
        identity = Identity(settings.trust_domain, settings.namespace, settings.account)
        return Holder(
            identity,
            self.signer,
            clock=self.clock,
            algorithm=settings.workload_algorithm,
            lifetime=settings.workload_lifetime,
        )

    def watch_identity(self, identity: Holder) -> None:
        """Let rotations wait for this process's own certificate, and for the rest of the control plane."""
        self.core.waiting.append(lambda _: self.upkeep.behind(self.settings, self.core.authority()))
        identity.subscribe(self._loops["trust"].poke)

    def service(self) -> CsrService:
        """The CSR service."""
        domain = self.settings.trust_domain
        tokens = Tokens(self.kube, self.settings.audience, domain)
        check = PeerCheck(lambda: self.trust.bundle, clock=self.clock)
        certificates = Certificates(check, domain, self.platform.has_account)
        return CsrService(self.issuer, tokens, certificates, self.metrics, self.clock)


async def _serve(stack: AsyncExitStack, parts: Parts, identity: Holder) -> tuple[int, int, int]:
    """Open the ports: tokens, certificates, HTTP."""
    settings, server = parts.settings, CsrServer(parts.service())
    roots = parts.trust.roots
    stack.push_async_callback(server.stop)
    one = server.listen(
        f"{settings.host}:{settings.token_port}", grpc_credentials(identity, roots, mutual=False)
    )
    two = server.listen(
        f"{settings.host}:{settings.mutual_port}", grpc_credentials(identity, roots, mutual=True)
    )
    await server.start()
    if settings.http_port is None:
        return one, two, 0
    window = bound(monitored(parts.metrics.registry), settings.host, settings.http_port)
    return one, two, await stack.enter_async_context(window)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do something that needs the platform, as often as the platform does not answer."""
    while True:
        try:
            return await work()
        except KubeError as error:
            if error.status and error.status < 500 and error.status != 409:
                raise
            log.warning("waiting for the platform", error=str(error))
        await asyncio.sleep(PAUSE)
