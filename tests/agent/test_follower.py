"""The order in which the agent takes a new bundle, over the real socket with a client that takes its time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from mesh.agent.identity.errors import IdentityProblem
from mesh.agent.identity.follower import Follower, Refused
from mesh.agent.identity.mounted import Mounted
from mesh.agent.identity.sds import SERVICE, SecretServer
from mesh.agent.identity.shelf import DEFAULT, ROOTCA, SECRET, Shelf
from mesh.agent.identity.trust import Trust
from mesh.pki.bundle import Bundle
from tests import loops
from tests.agent.pairs import NOW, Authority
from tests.live import until

pytestmark = pytest.mark.behaviour("S3")

OLD, NEW = Authority("old"), Authority("new")


@dataclass
class Rig:
    """The agent's parts on a socket, with mounted files as the source of certificates."""

    folder: Path
    trust: Trust
    certificates: Mounted
    server: SecretServer
    follower: Follower
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def mount(self, authority: Authority) -> None:
        """The kubelet brings other files."""
        pair = authority.pair()
        (self.folder / "key.pem").write_bytes(pair.key)
        (self.folder / "cert-chain.pem").write_bytes(pair.chain)
        self.certificates.look()

    def following(self, bundle: Any) -> asyncio.Task[None]:
        """Take a bundle, in the background."""
        self.tasks.append(asyncio.create_task(self.follower.follow(bundle)))
        return self.tasks[-1]


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    (folder / "root-cert.pem").write_bytes(OLD.pem)
    trust, shelf = Trust(folder / "root-cert.pem"), Shelf()
    certificates = Mounted(folder, clock=lambda: NOW)
    certificates.subscribe(shelf.put_pair)
    trust.subscribe(shelf.put_trust)
    server = SecretServer(shelf, folder / "socket")
    it = Rig(folder, trust, certificates, server, Follower(trust, certificates, server))
    it.mount(OLD)
    await server.start()
    try:
        yield it
    finally:
        for task in it.tasks:
            task.cancel()
        await asyncio.gather(*it.tasks, return_exceptions=True)
        await server.stop()


class Envoy:
    """What Envoy does on the socket, one message at a time."""

    def __init__(self, call: Any, sotw: bool) -> None:
        self._call = call
        self._sotw = sotw

    async def want(self, *names: str, nonce: str = "", error: str = "") -> None:
        if self._sotw:
            message: Any = discovery_pb2.DiscoveryRequest(
                type_url=SECRET, resource_names=names, response_nonce=nonce
            )
        else:
            message = discovery_pb2.DeltaDiscoveryRequest(
                type_url=SECRET, resource_names_subscribe=() if nonce else names, response_nonce=nonce
            )
        if error:
            message.error_detail.message = error
        await self._call.write(message.SerializeToString())

    async def get(self) -> Any:
        kind = discovery_pb2.DiscoveryResponse if self._sotw else discovery_pb2.DeltaDiscoveryResponse
        return kind.FromString(await self._call.read())


@asynccontextmanager
async def envoy(it: Rig, *, sotw: bool = False) -> AsyncIterator[Envoy]:
    method = "StreamSecrets" if sotw else "DeltaSecrets"
    async with grpc.aio.insecure_channel(f"unix:{it.folder / 'socket'}") as channel:
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        yield Envoy(call, sotw)
        call.cancel()


Scenario = Callable[[Rig], Any]


def scenario(folder: Path, work: Scenario) -> Any:
    async def test() -> Any:
        async with rig(folder) as it, asyncio.timeout(30):
            return await work(it)

    return loops.run(test())


@pytest.mark.parametrize("sotw", [False, True])
def test_a_bundle_is_agreed_to_when_envoy_has_the_new_certificate(tmp_path: Path, sotw: bool) -> None:
    async def work(it: Rig) -> None:
        async with envoy(it, sotw=sotw) as client:
            await client.want(DEFAULT)
            await client.want(DEFAULT, nonce=(await client.get()).nonce)
            following = it.following(NEW.bundle(OLD))
            await until(lambda: it.trust.roots().startswith(NEW.pem), "the bundle is trusted at once")
            assert not following.done()
            it.mount(NEW)
            answer = await client.get()
            assert not following.done()
            await client.want(DEFAULT, nonce=answer.nonce)
            await following

    scenario(tmp_path, work)


def test_a_bundle_that_changes_nothing_here_is_agreed_to_at_once(tmp_path: Path) -> None:
    async def work(it: Rig) -> None:
        await it.follower.follow(OLD.bundle())
        await it.follower.follow(OLD.bundle(NEW))

    scenario(tmp_path, work)


def test_a_revoked_certificate_is_waited_for(tmp_path: Path) -> None:
    async def work(it: Rig) -> None:
        pair = it.certificates.current
        assert pair is not None
        following = it.following(OLD.bundle(revoked=(pair,)))
        await until(lambda: "by Pilot" in repr(it.trust), "the bundle is trusted")
        assert not following.done()
        it.mount(OLD)
        await following

    scenario(tmp_path, work)


def test_what_envoy_refuses_is_refused_with_its_words(tmp_path: Path) -> None:
    async def work(it: Rig) -> None:
        async with envoy(it) as client:
            await client.want(DEFAULT)
            answer = await client.get()
            following = it.following(OLD.bundle())
            await client.want(nonce=answer.nonce, error="Failed to load private key")
            with pytest.raises(Refused, match="default of its agent: Failed to load private key"):
                await following

    scenario(tmp_path, work)


def test_a_stream_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    async def work(it: Rig) -> None:
        async with envoy(it) as client:
            await client.want(DEFAULT, ROOTCA)
            await client.get()
            following = it.following(OLD.bundle())
            await client.get()
            assert not following.done()
        await following

    scenario(tmp_path, work)


def test_what_is_no_request_ends_the_stream_only(tmp_path: Path) -> None:
    async def work(it: Rig) -> None:
        async with grpc.aio.insecure_channel(f"unix:{it.folder / 'socket'}") as channel:
            call = channel.stream_stream(f"/{SERVICE}/StreamSecrets")()
            await call.write(b"\xff\xff")
            with pytest.raises(grpc.aio.AioRpcError, match="not a discovery request"):
                await call.read()
        async with envoy(it) as client:
            await client.want(DEFAULT)
            assert (await client.get()).resources[0].name == DEFAULT

    scenario(tmp_path, work)


def test_a_socket_left_behind_is_replaced_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    async def start(path: Path) -> None:
        server = SecretServer(Shelf(), path)
        await server.start()
        await server.stop()

    (tmp_path / "socket").touch()
    loops.run(start(tmp_path / "socket"))
    (tmp_path / "file").touch()
    with pytest.raises(IdentityProblem, match="writable volume"):
        loops.run(start(tmp_path / "file" / "socket"))
    with pytest.raises(IdentityProblem, match="at most 107 bytes"):
        loops.run(start(tmp_path / ("x" * 100)))


def test_the_mounted_root_is_looked_at_again_when_pilot_cannot_be_reached(tmp_path: Path) -> None:
    root = tmp_path / "root-cert.pem"
    root.write_bytes(OLD.pem)
    told: list[Bundle] = []
    trust = Trust(root)
    trust.subscribe(told.append)
    assert trust.look_again() is not None and trust.look_again() is None
    trust.set(OLD.bundle(NEW))
    assert trust.look_again() is None
    root.write_bytes(NEW.pem)
    assert trust.look_again() is not None
    assert trust.roots() == NEW.pem
    root.write_bytes(b"half a cert")
    assert trust.look_again() is None
    assert len(told) == 3
