"""The agent's stream to a real Pilot with mutual TLS, when things do not go as they should."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from mesh.agent.bootstrap import node
from mesh.agent.environment import Pod, ProxySettings
from mesh.agent.identity.certificates import ByCitadel, Recorded
from mesh.agent.identity.follower import Follower
from mesh.agent.identity.sds import SecretServer
from mesh.agent.identity.serving import unbroken
from mesh.agent.identity.settings import IdentitySettings
from mesh.agent.identity.shelf import Shelf
from mesh.agent.identity.stream import TrustStream
from mesh.agent.identity.trust import Trust
from mesh.model.trust import ROOTCA
from mesh.pilot.ads.programmed import has_trust
from mesh.pilot.ads.server import SERVICE
from mesh.pilot.types import SDS
from mesh.pki.certificates import issued
from mesh.pki.holder import Holder
from mesh.pki.serving import grpc_credentials
from tests import loops
from tests.live import until
from tests.pilot.ads.authority import FRONTEND, PILOT, PILOT_NAME, Authority
from tests.pilot.ads.resources import prepared
from tests.pilot.ads.secrets import root_secret
from tests.pilot.ads.secure import Secure, secure
from tests.pilot.ads.world import world

pytestmark = pytest.mark.behaviour("S3")


@dataclass
class Agent:
    """The agent's side, with a signer that the test changes."""

    trust: Trust
    certificates: ByCitadel
    stream: TrustStream
    mounted: Path
    signed_by: list[Authority]

    @property
    def serial(self) -> int:
        return self.certificates.pair.leaf.serial_number


async def at_once(_: float) -> None:
    """A tenth of the pauses: the order matters here, not how long they are."""
    await asyncio.sleep(0.01)


@asynccontextmanager
async def agent(
    folder: Path, port: int, authority: Authority, account: str = "frontend"
) -> AsyncIterator[Agent]:
    mounted = folder / "root-cert.pem"
    mounted.write_text(authority.pem)
    signed_by = [authority]

    class Signer:
        async def sign(self, csr: bytes, *, seconds: int, present: object) -> bytes:
            return await signed_by[0].sign(csr, seconds=seconds, present=None)

    trust, shelf = Trust(mounted), Shelf()
    certificates = ByCitadel(FRONTEND, Recorded(Signer()), IdentitySettings())
    certificates.subscribe(shelf.put_pair)
    server = SecretServer(shelf, folder / "socket")
    who = node("agent", Pod("frontend", "weather", "127.0.0.1", account), ProxySettings())
    follower = Follower(trust, certificates, server, sleep=at_once)
    stream = TrustStream(f"127.0.0.1:{port}", PILOT_NAME, who, trust, certificates, follower, sleep=at_once)
    await server.start()
    await trust.begin()
    await certificates.first()
    task = asyncio.create_task(stream.run())
    try:
        yield Agent(trust, certificates, stream, mounted, signed_by)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()


def settled(s: Secure) -> bool:
    """Whether an agent is connected and has agreed to the newest bundle."""
    return any(each.is_agent and has_trust(each) for each in s.pilot.sessions)


def refusals(s: Secure, reason: str) -> float:
    return s.metric("pilot_xds_refused_streams_total", reason=reason)


def test_an_agent_that_was_away_during_a_rotation_finds_back_by_its_mounted_root(tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")

    async def test() -> None:
        async with secure(world(root_secret(new)), authority=new) as s, agent(tmp_path, s.port, old) as it:
            await until(lambda: "UNAVAILABLE" in it.stream.trouble, "Pilot is not trusted")
            it.signed_by[0] = new
            it.mounted.write_text(new.pem)
            await s.pilot.until(lambda: settled(s))
            assert issued(it.certificates.pair.leaf, new.root)
            assert it.trust.roots() == new.pem.encode()

    loops.run(test())


def test_a_refused_certificate_is_replaced_and_the_stream_made_again(tmp_path: Path) -> None:
    authority = Authority()

    async def test() -> None:
        async with (
            secure(world(root_secret(authority)), authority=authority) as s,
            agent(tmp_path, s.port, authority) as it,
        ):
            await s.pilot.until(lambda: settled(s))
            before = it.serial
            authority.revoked.append(it.certificates.pair.leaf)
            s.trust.replace(authority.bundle())
            await until(lambda: it.serial != before, "another certificate")
            await s.pilot.until(lambda: settled(s))

    loops.run(test())


def test_a_newer_bundle_takes_the_place_of_one_that_is_not_in_force_yet(tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")

    async def test() -> None:
        async with secure(world(root_secret(old)), authority=old) as s, agent(tmp_path, s.port, old) as it:
            await s.pilot.until(lambda: settled(s))
            s.pilot.change(root_secret(new, old))  # the signer goes on with the old root
            await until(lambda: it.certificates.statistics.signed > 2, "renewed in vain")
            assert not settled(s)
            s.pilot.change(root_secret(old, new))
            await s.pilot.until(lambda: settled(s))
            assert not [each for each in asyncio.all_tasks() if "TrustStream._answer" in repr(each)]

    loops.run(test())


def test_a_renewal_that_the_streams_end_interrupted_is_made_up_for(tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")

    async def test() -> None:
        async with secure(world(root_secret(old)), authority=old) as s:
            port = s.port
            async with agent(tmp_path, port, old) as it:
                await s.pilot.until(lambda: settled(s))
                s.pilot.change(root_secret(new, old))
                await until(lambda: it.trust.roots() == (new.pem + old.pem).encode(), "the bundle")
                await s.server.grpc.stop(None)
                it.signed_by[0] = new
                await until(
                    lambda: issued(it.certificates.pair.leaf, new.root), "a certificate of the new root"
                )

    loops.run(test())


def test_who_is_refused_for_what_it_says_does_not_ask_citadel_again(tmp_path: Path) -> None:
    authority = Authority()

    async def test() -> None:
        async with (
            secure(world(root_secret(authority)), authority=authority) as s,
            agent(tmp_path, s.port, authority, account="vault") as it,
        ):
            await until(lambda: "PERMISSION_DENIED" in it.stream.trouble, "refused")
            assert "weather/vault" in it.stream.trouble and "weather/frontend" in it.stream.trouble
            await until(lambda: refusals(s, "PERMISSION_DENIED") > 3, "again")
            assert it.certificates.statistics.signed == 1

    loops.run(test())


def test_refusals_that_a_new_certificate_does_not_end_do_not_flood_citadel(tmp_path: Path) -> None:
    authority = Authority()

    async def test() -> None:
        async with (
            secure(world(root_secret(authority)), authority=authority) as s,
            agent(tmp_path, s.port, authority) as it,
        ):
            await s.pilot.until(lambda: settled(s))
            s.clock.ahead = timedelta(days=100)  # to Pilot, whatever is signed now has expired
            s.server.sweep()
            await until(lambda: refusals(s, "UNAUTHENTICATED") >= 20, "many refusals")
            assert it.certificates.statistics.signed <= 1 + 6  # at the 1st, 2nd, 4th, 8th, 16th...

    loops.run(test())


@pytest.mark.parametrize("payload", [b"", b"no certificate"])
def test_a_bundle_that_cannot_be_read_is_refused_and_the_last_good_one_stays(
    tmp_path: Path, payload: bytes
) -> None:
    authority = Authority()
    secret = secret_pb2.Secret(name=ROOTCA)
    secret.validation_context.trusted_ca.inline_bytes = payload

    async def test() -> None:
        async with (
            secure(world(root_secret(authority)), authority=authority) as s,
            agent(tmp_path, s.port, authority) as it,
        ):
            await s.pilot.until(lambda: settled(s))
            s.pilot.change(prepared(SDS, ROOTCA, secret))
            (session,) = s.pilot.sessions
            await s.pilot.until(lambda: bool(session.machine.watches[SDS].rejected))
            assert it.trust.roots() == authority.pem.encode()
            s.pilot.change(root_secret(authority))
            await s.pilot.until(lambda: settled(s))

    loops.run(test())


class Nonsense:
    """A server behind Pilot's certificate that sends what is no message."""

    def __init__(self) -> None:
        self.calls = 0

    async def delta(self, requests: Any, context: Any) -> None:
        self.calls += 1
        await context.write(b"\xff\xff\xff")

    async def start(self, authority: Authority) -> tuple[Any, int]:
        holder = Holder(PILOT, authority)
        await holder.first()
        server = grpc.aio.server()
        methods = {"DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(self.delta)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        port = server.add_secure_port(
            "127.0.0.1:0", grpc_credentials(holder, authority.pem.encode, mutual=True)
        )
        await server.start()
        return server, port


def test_nonsense_is_told_and_the_agent_goes_on(tmp_path: Path) -> None:
    authority, nonsense = Authority(), Nonsense()

    async def test() -> None:
        server, port = await nonsense.start(authority)
        try:
            async with agent(tmp_path, port, authority) as it:
                await until(lambda: "no DeltaDiscoveryResponse" in it.stream.trouble, "it is told")
                told = nonsense.calls
                await until(lambda: nonsense.calls > told, "it comes again")
        finally:
            await server.stop(None)

    loops.run(test())


def test_a_fault_is_told_and_work_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        raise KeyError("a slip")

    async def test() -> None:
        task = asyncio.create_task(unbroken("certificate", work, sleep=at_once))
        await until(lambda: len(runs) >= 3, "three attempts")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    loops.run(test())
    assert (
        "a fault in keeping the Pod's certificate: KeyError: 'a slip'; trying again"
        in capsys.readouterr().err
    )


def test_a_renewal_makes_the_stream_anew_and_the_bundle_is_not_sent_again(tmp_path: Path) -> None:
    authority = Authority()

    async def test() -> None:
        async with (
            secure(world(root_secret(authority)), authority=authority) as s,
            agent(tmp_path, s.port, authority) as it,
        ):
            await s.pilot.until(lambda: settled(s))
            (before,) = s.pilot.sessions
            await it.certificates.renew("a test")
            await s.pilot.until(lambda: settled(s) and before not in s.pilot.sessions)
            (after,) = s.pilot.sessions
            assert after.machine.watches[SDS].accepted[ROOTCA].version == it.stream.version

    loops.run(test())
