"""A Pilot that serves proxies with mutual TLS, and clients of it that may show anything."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from envoy.service.discovery.v3 import discovery_pb2

from mesh.model import Workload
from mesh.pilot.ads.door import Door
from mesh.pilot.ads.server import SERVICE, AdsServer
from mesh.pilot.types import CDS
from mesh.pki.holder import Holder
from mesh.pki.keypair import KeyPair
from mesh.pki.serving import grpc_credentials
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from tests.pilot.ads.authority import FRONTEND, PILOT, PILOT_NAME, Authority
from tests.pilot.ads.pilot import Pilot, pilot
from tests.pilot.ads.world import World


class Clock:
    """Now, and as much later as a test wants."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Secure:
    """What a test has in its hands."""

    pilot: Pilot
    server: AdsServer
    authority: Authority
    trust: Trust
    holder: Holder
    port: int
    clock: Clock
    workloads: dict[str, Workload] = field(default_factory=dict)

    def metric(self, name: str, **labels: str) -> float:
        return self.pilot.sessions.metrics.registry.get_sample_value(name, labels) or 0.0

    @asynccontextmanager
    async def stream(
        self, shown: KeyPair | None, *, sotw: bool = False, root: str = ""
    ) -> AsyncIterator["Client"]:
        """A stream of a client that shows this certificate."""
        trusted = (root or self.trust.current.root_cert).encode()
        pair = (shown.key, shown.chain) if shown else (None, None)
        credentials = grpc.ssl_channel_credentials(trusted, *pair)
        options = (("grpc.ssl_target_name_override", PILOT_NAME), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options=options) as channel:
            method = "StreamAggregatedResources" if sotw else "DeltaAggregatedResources"
            yield Client(channel.stream_stream(f"/{SERVICE}/{method}")(), sotw=sotw)


@dataclass
class Client:
    """One stream."""

    call: Any
    sotw: bool = False

    async def asks(
        self,
        type_url: str = CDS,
        *names: str,
        identity: Identity = FRONTEND,
        kind: str = "sidecar",
        address: str = "127.0.0.1",
        nonce: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Send a request; by default it tells the truth about an identity."""
        place = identity.namespace
        said = {"NAMESPACE": place, "SERVICE_ACCOUNT": identity.account} if metadata is None else metadata
        request: Any
        if self.sotw:
            request = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names)
        else:
            request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
        request.response_nonce = nonce
        request.node.id = f"{kind}~{address}~{identity.account}.{place}~{place}.svc.cluster.local"
        request.node.metadata.update(said)
        with suppress(grpc.aio.AioRpcError):  # refused already: `refusal` says why
            await self.call.write(request.SerializeToString())

    async def hears(self) -> Any:
        """The next response."""
        raw = await self.call.read()
        assert raw is not grpc.aio.EOF, "the stream has ended"
        kind = discovery_pb2.DiscoveryResponse if self.sotw else discovery_pb2.DeltaDiscoveryResponse
        return kind.FromString(raw)

    async def refusal(self) -> tuple[str, str]:
        """Code and words with which the stream ends."""
        with suppress(grpc.aio.AioRpcError):
            while await self.call.read() is not grpc.aio.EOF:
                pass
        return (await self.call.code()).name, await self.call.details()


@asynccontextmanager
async def secure(world: World, *, authority: Authority | None = None) -> AsyncIterator[Secure]:
    """Pilot on a world, with its certificate from `authority`."""
    authority = authority or Authority()
    trust, clock = Trust(authority.bundle()), Clock()
    holder = Holder(PILOT, authority)
    await holder.first()
    workloads: dict[str, Workload] = {}
    async with pilot(world) as running:
        server = AdsServer(running.sessions, Door(trust, lambda: workloads, clock=clock))
        port = server.listen("127.0.0.1:0", grpc_credentials(holder, trust.roots, mutual=True))
        await server.start()
        try:
            yield Secure(running, server, authority, trust, holder, port, clock, workloads)
        finally:
            await server.stop()
