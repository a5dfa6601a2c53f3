"""Pilot on a platform beside a real Citadel: trust from its ConfigMap, rotation and revocation end to end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest
import yaml

from mesh.citadel.publishing import bundle_of
from mesh.citadel.settings import COMPACT
from mesh.galley.source.files import FileSource
from mesh.model.trust import PROGRAMMED, ROOTCA
from mesh.pilot.ads.server import SERVICE
from mesh.pilot.pilot import Listen, Pilot
from mesh.pilot.platform import on_platform
from mesh.pilot.settings import Settings
from mesh.pilot.types import SDS
from mesh.pki.certificates import load_chain
from mesh.pki.keypair import KeyPair
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from tests.citadel.rig import Mesh, certificate, eventually, mesh
from tests.live import client_of
from tests.pilot.ads.secure import Client
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1", "S3")


@dataclass
class Both:
    """A Citadel, and a Pilot beside it that knows of it only what the platform says."""

    citadel: Mesh
    pilot: Pilot
    trust: Trust

    @asynccontextmanager
    async def stream(self, pair: KeyPair) -> AsyncIterator[Client]:
        credentials = grpc.ssl_channel_credentials(self.trust.roots(), pair.key, pair.chain)
        name = f"istio-pilot.{self.citadel.namespace}.svc"
        options = (("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1))
        address = f"127.0.0.1:{self.pilot.secure}"
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            yield Client(channel.stream_stream(f"/{SERVICE}/DeltaAggregatedResources")())

    async def published(self) -> tuple[str, str]:
        """Digest of the published bundle, and the one that Pilot has noted."""
        found = await self.citadel.get("configmaps", "istio-trust")
        return bundle_of(found).digest, (found["metadata"].get("annotations") or {}).get(PROGRAMMED, "")

    async def programmed(self) -> bool:
        digest, noted = await self.published()
        return digest == noted


@asynccontextmanager
async def both(served: Served, folder: Path) -> AsyncIterator[Both]:
    namespace = await asyncio.to_thread(served.namespace)
    for name in ("istio-pilot", "frontend"):
        await asyncio.to_thread(
            served.run, served.api.create("serviceaccounts", {"metadata": {"name": name}}, namespace)
        )
    (folder / "mesh.yaml").write_text(yaml.safe_dump({"rootNamespace": namespace}))
    async with (
        mesh(served, namespace=namespace, account="istio-pilot", services=COMPACT) as citadel,
        client_of(served.kubeconfig) as client,
    ):
        trust = Trust(citadel.citadel.trust.current)
        async with on_platform(
            client, FileSource(()), Settings(folder / "mesh.yaml"), Listen("127.0.0.1", 0, 0, 0),
            identity=citadel.citadel.identity, trust=trust, namespace=namespace,
        ) as pilot:  # fmt: skip
            yield Both(citadel, pilot, trust)


async def following(client: Client, me: Identity, kind: str) -> None:
    """Agree to every bundle, as a proxy does, until the stream ends."""
    await client.asks(SDS, ROOTCA, identity=me, kind=kind)
    while True:
        response = await client.hears()
        await client.asks(SDS, identity=me, kind=kind, nonce=response.nonce)


@asynccontextmanager
async def proxy(b: Both, pair: KeyPair, me: Identity, kind: str) -> AsyncIterator[asyncio.Task[None]]:
    async with b.stream(pair) as client:
        task = asyncio.create_task(following(client, me, kind))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_root_is_replaced_step_by_step_as_proxies_agree(served: Served, tmp_path: Path) -> None:
    async with both(served, tmp_path) as b:
        me = Identity("cluster.local", b.citadel.namespace, "frontend")
        old = b.trust.bundle.certificates[0]
        pair = await certificate(b.citadel, me)
        async with proxy(b, pair, me, "sidecar") as envoy:
            await eventually(b.programmed, "the first bundle to be in force")
            wish = {"metadata": {"annotations": {"trust.istio.io/rotate": "2026-01-01"}}}
            await b.citadel.patch("secrets", "istio-ca-secret", wish)
            await eventually(lambda: b.trust.bundle.certificates[0] != old, "the new root to issue")
            renewed = await certificate(b.citadel, me)
            async with proxy(b, renewed, me, "agent"):
                await eventually(lambda: len(b.trust.bundle.certificates) == 1, "the old root to go")
                assert b.trust.bundle.certificates[0] != old
                await eventually(b.programmed, "the last bundle to be in force")
                await eventually(envoy.done, "the stream of the old root's certificate to end")


async def test_who_is_revoked_by_citadel_is_put_out_by_pilot(served: Served, tmp_path: Path) -> None:
    async with both(served, tmp_path) as b:
        me = Identity("cluster.local", b.citadel.namespace, "frontend")
        pair, other = await certificate(b.citadel, me), await certificate(b.citadel, me)
        async with b.stream(pair) as client, proxy(b, other, me, "sidecar") as neighbour:
            await client.asks(SDS, ROOTCA, identity=me)
            await client.hears()
            serial = f"{load_chain(pair.chain)[0].serial_number:x}"
            entry: dict[str, Any] = {"serials": [serial], "reason": "keyCompromise"}
            text = json.dumps({**entry, "time": datetime.now(UTC).isoformat()})
            revocations = {"metadata": {"name": "istio-revocations"}, "data": {"one": text}}
            await b.citadel.create("configmaps", revocations)
            code, words = await client.refusal()
            assert (code, "was revoked (keyCompromise)" in words) == ("UNAUTHENTICATED", True)
            await eventually(b.programmed, "the list to be in force")
            assert not neighbour.done()
