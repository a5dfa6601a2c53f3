"""A mesh with identity in a scenario: a real API server, a real Citadel, the secure port of a real Pilot.

The names of the Services lead to 127.0.0.1 by a file of hosts that only the scenario sees.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from mesh.model.trust import ROOTCA, TrustBundle
from mesh.pilot.ads.door import Door
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.ads.server import AdsServer
from mesh.pilot.ads.session import Session
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.compile.secrets import validation
from mesh.pilot.metrics import Metrics
from mesh.pilot.types import SDS, Resource
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from mesh.pki.serving import grpc_credentials
from mesh.pki.spiffe import Identity
from tests.agent.running import Running, agent
from tests.citadel import rig
from tests.pilot.ads.pilot import Pilot
from tests.pilot.ads.resources import prepared
from tests.pilot.ads.world import StaticCompiler, World
from tests.pocketkube.api.rig import Served, add_namespace

SYSTEM, DOMAIN = "istio-system", "cluster.local"
PILOT = f"istio-pilot.{SYSTEM}.svc"
CITADEL = f"istio-citadel.{SYSTEM}.svc"
FRONTEND = Identity(DOMAIN, "weather", "frontend")
SECURE = {"discoveryAddress": f"{PILOT}:15012", "controlPlaneAuthPolicy": "MUTUAL_TLS"}


@dataclass
class Secured:
    """A platform with the accounts of a mesh; Citadel comes and goes."""

    served: Served
    folder: Path

    @property
    def root(self) -> Path:
        """Where the mesh's root is mounted."""
        return self.folder / "root-cert.pem"

    @asynccontextmanager
    async def citadel(self, **settings: Any) -> AsyncIterator[rig.Mesh]:
        """A real Citadel on its own ports, whose root is mounted as the kubelet would."""
        async with rig.mesh(
            self.served, namespace=SYSTEM, token_port=8060, mutual_port=8061, **settings
        ) as mesh:
            self.root.write_bytes(mesh.citadel.trust.roots())
            self.token.write_text(await mesh.token(FRONTEND))
            yield mesh

    @property
    def token(self) -> Path:
        """Where the Pod's token is mounted."""
        return self.folder / "token"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the injector would tell the agent."""
        return {
            "CA_ADDR": f"{CITADEL}:8060",
            "CA_ROOT_CA": str(self.root),
            "CA_TOKEN_FILE": str(self.token),
            "WORKLOAD_SOCKET": str(self.folder / "uds" / "socket"),
            "TRUST_DOMAIN": DOMAIN,
        }

    @asynccontextmanager
    async def agent(self, *, extra: Mapping[str, str] | None = None, **config: Any) -> AsyncIterator[Running]:
        """A real pilot-agent that proves who it is."""
        environment = {**self.environment, **(extra or {})}
        async with agent(self.folder, 0, extra=environment, **(SECURE | config)) as running:
            yield running


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[Secured]:
    """The platform. Call it only inside namespaces of its own."""
    names_lead_here(folder)
    (folder / "api").mkdir()
    with Served(folder / "api") as served:
        await asyncio.to_thread(prepare, served)
        yield Secured(served, folder)


def prepare(served: Served) -> None:
    """Namespaces and accounts."""
    for namespace, accounts in ((SYSTEM, ("istio-citadel", "istio-pilot")), ("weather", ("frontend",))):
        served.run(add_namespace(served.api, namespace, **{"istio-injection": "enabled"}))
        for name in accounts:
            served.run(served.api.create("serviceaccounts", {"metadata": {"name": name}}, namespace))


def names_lead_here(folder: Path) -> None:
    """Names of Services, as cluster DNS would know them."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {PILOT} {CITADEL}\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)


@asynccontextmanager
async def secure_pilot(mesh: rig.Mesh, world: World, *, port: int = 15012) -> AsyncIterator[Pilot]:
    """Pilot's secure port, which trusts what Citadel says and hands it on as `ROOTCA`."""
    trust = mesh.citadel.trust
    holder = Holder(Identity(DOMAIN, SYSTEM, "istio-pilot"), mesh.citadel.signer)
    sessions = Sessions(StaticCompiler(), world.with_resources(bundle(trust.current)), Metrics())
    server = AdsServer(sessions, Door(trust))
    running: Pilot

    def changed(new: TrustBundle) -> None:
        running.change(bundle(new))

    async with renewing(holder, trust):
        credentials = grpc_credentials(holder, trust.roots, mutual=True)
        pushes = Pushes(sessions, lambda: running.world)
        bound = server.listen(f"127.0.0.1:{port}", credentials)
        running = Pilot(sessions, pushes, bound, world.with_resources(bundle(trust.current)), server)
        trust.subscribe(changed)
        await server.start()
        tasks = [asyncio.create_task(pushes.run()), asyncio.create_task(server.watch_expiry())]
        try:
            yield running
        finally:
            trust.unsubscribe(changed)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.stop()


def bundle(trust: TrustBundle) -> Resource:
    """The bundle as Pilot sends it."""
    secret = secret_pb2.Secret(name=ROOTCA, validation_context=validation(trust.root_cert, trust.crl))
    return prepared(SDS, ROOTCA, secret)


def agents(pilot: Pilot) -> list[Session]:
    """The streams of agents."""
    return [session for session in pilot.sessions if session.is_agent]


def inline(data: bytes) -> base_pb2.DataSource:
    return base_pb2.DataSource(inline_bytes=data)
