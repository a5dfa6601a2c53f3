"""Puts the identity together: certificates, trust, SDS for Envoy, the stream to Pilot."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mesh.agent.environment import Pod
from mesh.agent.identity.certificates import Certificates, by_citadel
from mesh.agent.identity.follower import Follower
from mesh.agent.identity.identity import Identity
from mesh.agent.identity.mounted import Mounted
from mesh.agent.identity.sds import SecretServer
from mesh.agent.identity.settings import IdentitySettings
from mesh.agent.identity.shelf import Shelf
from mesh.agent.identity.stream import TrustStream
from mesh.agent.identity.trust import Trust
from mesh.agent.log import say
from mesh.pki.keypair import KeyPair

AFTER_FAULT = 5.0  # seconds


@asynccontextmanager
async def serving(
    settings: IdentitySettings, pod: Pod, pilot: str, server_name: str, node: Mapping[str, Any]
) -> AsyncIterator[Identity]:
    """Get the Pod's certificate, keep it, and serve it to Envoy. `pilot` is the address of Pilot's xDS.

    Does not wait for the certificate: what is not there yet is served when it comes.
    """
    trust, shelf = Trust(settings.root), Shelf()
    certificates: Certificates = (
        Mounted(settings.mounted) if settings.mounted else by_citadel(settings, pod, trust.roots)
    )
    certificates.subscribe(shelf.put_pair)
    trust.subscribe(shelf.put_trust)
    server = SecretServer(shelf, settings.socket)
    follower = Follower(trust, certificates, server)
    stream = TrustStream(pilot, server_name, node, trust, certificates, follower)
    await server.start()
    tasks = [
        asyncio.create_task(unbroken("certificate", certificates.run)),
        asyncio.create_task(unbroken("trust", lambda: follow(trust, certificates, stream))),
    ]
    source = str(settings.mounted) if settings.mounted else f"Citadel at {settings.citadel}"
    try:
        yield Identity(certificates, source)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.stop()


async def unbroken(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Work without end: a fault of ours is told, and must not cost the Pod its certificate."""
    while True:
        try:
            await work()
        except Exception as error:
            say(f"a fault in keeping the Pod's {name}: {type(error).__name__}: {error}; trying again")
        await sleep(AFTER_FAULT)


async def follow(trust: Trust, certificates: Certificates, stream: TrustStream) -> None:
    """Trust the mounted root at first; when there is a certificate, listen to Pilot."""
    have = asyncio.Event()

    def got(_: KeyPair) -> None:
        have.set()

    certificates.subscribe(got)
    await trust.begin()
    if certificates.current is None:
        await have.wait()
    await stream.run()
