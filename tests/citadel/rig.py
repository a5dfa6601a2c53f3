"""What Citadel's tests stand on: a Citadel on a served API, callers with tokens and certificates."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from mesh.citadel.citadel import Citadel, CitadelSettings, serving
from mesh.citadel.upkeep import Upkeep
from mesh.pki import csr as csrs
from mesh.pki import wire
from mesh.pki.client import CitadelClient
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from mesh.pki.spiffe import Identity
from tests.live import client_of
from tests.pocketkube.api.rig import Served

DOMAIN = "cluster.local"
DEADLINE = 30.0  # seconds; machines are busy
_numbers = itertools.count(1)


class Clock:
    """A clock that tests put forward; it never stands behind the real one, so that the API agrees."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_(self, **time: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(**time)


@dataclass
class Mesh:
    """A served platform with a namespace for the control plane, and a running Citadel."""

    served: Served
    namespace: str
    clock: Clock
    citadel: Citadel

    async def on_api(self, work: Any) -> Any:
        """Do something in the API server's loop."""
        return await asyncio.to_thread(self.served.run, work)

    async def upkeep(self) -> None:
        """Look through the ledger, as Citadel does every few minutes."""
        await Upkeep(self.citadel.ledger, self.citadel.metrics, self.clock).step()

    async def account(self, namespace: str, name: str) -> Identity:
        """A service account, made if it is not there."""
        await ensure_account(self.served, namespace, name)
        return Identity(DOMAIN, namespace, name)

    async def token(self, identity: Identity, audience: str = "istio-ca") -> str:
        """A token of an account."""

        async def mint() -> str:
            return self.served.api.mint_token(
                identity.namespace, identity.account, audiences=[audience], seconds=3600
            )

        return str(await self.on_api(mint()))

    async def client(self, identity: Identity, *, token: str | None = None, port: int = 0) -> CitadelClient:
        """A client that proves itself as `identity`."""
        token = await self.token(identity) if token is None else token
        return CitadelClient(
            f"127.0.0.1:{port or self.citadel.token_port}",
            f"127.0.0.1:{self.citadel.mutual_port}",
            self.citadel.trust.roots,
            lambda: token,
            server_name=f"istio-citadel.{self.namespace}.svc",
        )

    async def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """An object of the platform."""

        async def read() -> Any:
            return self.served.api.get(resource, name, namespace or self.namespace)

        return json.loads(json.dumps(await self.on_api(read())))  # type: ignore[no-any-return]

    async def find(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The same, or None if there is none."""

        async def read() -> Any:
            chosen = f"metadata.name={name}"
            return self.served.api.list(resource, namespace or self.namespace, fields=chosen)[0]

        found = json.loads(json.dumps(await self.on_api(read())))
        return found[0] if found else None

    async def patch(self, resource: str, name: str, patch: Any, namespace: str | None = None) -> None:
        """Merge a patch into an object."""
        await self.on_api(self.served.api.patch(resource, name, namespace or self.namespace, patch))

    async def create(self, resource: str, obj: dict[str, Any], namespace: str | None = None) -> None:
        """Make an object."""
        await self.on_api(self.served.api.create(resource, obj, namespace or self.namespace))

    async def delete(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Remove an object."""
        await self.on_api(self.served.api.delete(resource, name, namespace or self.namespace))


async def ensure_account(served: Served, namespace: str, name: str) -> None:
    """Make a service account unless it is there."""
    await asyncio.to_thread(served.run, _ensure(served, namespace, name))


async def _ensure(served: Served, namespace: str, name: str) -> None:
    if name != "default":
        await served.api.create("serviceaccounts", {"metadata": {"name": name}}, namespace)


def settings_for(namespace: str, **changes: Any) -> CitadelSettings:
    """Settings of a Citadel on free ports of 127.0.0.1."""
    chosen = CitadelSettings(
        namespace=namespace, host="127.0.0.1", token_port=0, mutual_port=0, http_port=None
    )
    return replace(chosen, **changes)


@asynccontextmanager
async def mesh(
    served: Served, *, namespace: str = "", clock: Clock | None = None, **changes: Any
) -> AsyncIterator[Mesh]:
    """Run a Citadel in a namespace of its own (or in a given one, again)."""
    if not namespace:
        namespace = await asyncio.to_thread(served.namespace)
        await ensure_account(served, namespace, "istio-citadel")
    clock = clock or Clock()
    async with (
        client_of(served.kubeconfig) as client,
        serving(settings_for(namespace, **changes), client, clock=clock) as citadel,
    ):
        yield Mesh(served, namespace, clock, citadel)


async def certificate(mesh: Mesh, identity: Identity, *, seconds: int = 3600) -> KeyPair:
    """A key and certificate of an identity, got by token."""
    client, key = await mesh.client(identity), new_key()
    chain = await client.sign(csrs.request(identity, key), seconds=seconds)
    return KeyPair(key_pem(key), chain)


async def by_certificate(it: Mesh, pair: KeyPair, identity: Identity) -> bytes:
    """One request by certificate alone: the token that it would fall back to is refused."""
    client = await it.client(identity, token="no token")
    message = wire.certificate_request(csrs.request(identity, new_key()), 60)
    return await client._by_certificate(message, pair)


class channel:  # noqa: N801 - used as a statement
    """An open connection to the mutual port, and its method."""

    def __init__(self, it: Mesh, pair: KeyPair) -> None:
        credentials = grpc.ssl_channel_credentials(it.citadel.trust.roots(), pair.key, pair.chain)
        options = (("grpc.ssl_target_name_override", f"istio-citadel.{it.namespace}.svc"),)
        self._channel = grpc.aio.secure_channel(
            f"127.0.0.1:{it.citadel.mutual_port}", credentials, options=options
        )

    async def __aenter__(self) -> Any:
        return self._channel.unary_unary(wire.PATH)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


async def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The condition's value once it is true; it may be a coroutine function."""
    async with asyncio.timeout(DEADLINE):
        while True:
            value = condition()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            await asyncio.sleep(0.01)
