"""Agents at Pilot: the trust bundle and nothing else, counted by the barrier, and no proxies to people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from mesh.model import ConfigObject, ObjectKey, Workload
from mesh.model.trust import ROOTCA, TrustBundle
from mesh.pilot.ads.programmed import Programmed
from mesh.pilot.trust import trust_key
from mesh.pilot.types import CDS, LDS, SDS
from tests.pilot.ads.authority import FRONTEND, Authority
from tests.pilot.ads.resources import cluster, endpoints
from tests.pilot.ads.secrets import pair_secret, root_secret
from tests.pilot.ads.secure import Client, Secure, secure
from tests.pilot.ads.whole import Whole, whole
from tests.pilot.ads.world import world

pytestmark = pytest.mark.behaviour("S3")
BASE = cluster("a"), endpoints("a", 1)
TRUST = trust_key("istio-system")


@asynccontextmanager
async def stream(s: Secure, kind: str) -> AsyncIterator[Client]:
    """A stream of a proxy or agent that asks for the trust bundle."""
    async with s.stream(s.authority.of(FRONTEND)) as client:
        await client.asks(SDS, ROOTCA, kind=kind)
        yield client


async def test_an_agent_gets_the_trust_bundle_and_nothing_else() -> None:
    authority = Authority()
    content = world(*BASE, root_secret(authority), pair_secret("kubernetes://shop", authority.of(FRONTEND)))
    async with secure(content, authority=authority) as s, stream(s, "agent") as agent:
        response = await agent.hears()
        assert [each.name for each in response.resources] == [ROOTCA]
        for kind in (LDS, CDS):
            await agent.asks(kind, kind="agent")
            assert not (await agent.hears()).resources


async def test_a_newer_bundle_does_not_wait_for_the_answer_to_the_one_before() -> None:
    old, new = Authority("old"), Authority("new")
    before = root_secret(old)
    async with secure(world(before), authority=old) as s, stream(s, "agent") as agent:
        first = await agent.hears()
        s.pilot.change(root_secret(old, new))
        second = await agent.hears()
        s.pilot.change(before)  # back to what was there, which it has never agreed to
        third = await agent.hears()
        assert first.resources[0].version == third.resources[0].version != second.resources[0].version
        await agent.asks(SDS, kind="agent", nonce=second.nonce)
        session = await s.pilot.session()
        assert session.machine.unsettled() == {SDS: frozenset({ROOTCA})}
        await agent.asks(SDS, kind="agent", nonce=third.nonce)
        await s.pilot.until(lambda: not session.machine.unsettled())


@dataclass
class Told:
    """What was announced; fails as often as it is told to."""

    digests: list[str] = field(default_factory=list)
    failures: int = 0

    async def __call__(self, digest: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not now")
        self.digests.append(digest)


def trust(w: Whole, *authorities: Authority) -> TrustBundle:
    """Set the bundle: the object, and the resource that is made of it."""
    bundle = authorities[0].bundle(*authorities[1:])
    place: ObjectKey = TRUST
    w.config._objects[place] = ConfigObject(place, "", "v1", bundle)
    w.config.put("trust", root_secret(*authorities))
    return bundle


@asynccontextmanager
async def announcing(w: Whole, told: Told) -> AsyncIterator[Programmed]:
    announcer = Programmed(w.pilot.world, w.pilot.pushes, TRUST, told)
    task = asyncio.create_task(announcer.run())
    try:
        yield announcer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def plainly(w: Whole, kind: str, name: str = "frontend") -> AsyncIterator[Client]:
    """A stream over the plain port."""
    import grpc.aio  # type: ignore[import-untyped]

    from mesh.pilot.ads.server import SERVICE
    from mesh.pki.spiffe import Identity

    async with grpc.aio.insecure_channel(f"127.0.0.1:{w.pilot.xds}") as channel:
        client = Client(channel.stream_stream(f"/{SERVICE}/DeltaAggregatedResources")())
        await client.asks(SDS, ROOTCA, kind=kind, identity=Identity("cluster.local", "weather", name))
        yield client


async def until(w: Whole, told: Told, digests: list[str]) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    assert await w.pilot.sessions.notice.wait_for(
        lambda: told.digests == digests, deadline=deadline, every=0.02
    )


async def test_trust_is_programmed_once_proxy_and_agent_have_it() -> None:
    old, new, told = Authority("old"), Authority("new"), Told(failures=1)
    runs = Workload("frontend", "weather", ("10.0.0.1",), has_sidecar=True)
    async with whole(*BASE, workloads=(runs,)) as w, announcing(w, told) as announcer:
        bundle = trust(w, old)
        async with plainly(w, "sidecar") as proxy:
            await proxy.asks(SDS, kind="sidecar", nonce=(await proxy.hears()).nonce)
            await settled(w, 1)
            assert list(announcer.missing()) == ["frontend.weather (agent)"]
            async with plainly(w, "agent") as agent:
                heard = await agent.hears()
                assert not announcer.due()
                await agent.asks(SDS, kind="agent", nonce=heard.nonce)
                await until(w, told, [bundle.digest])  # though the first attempt failed
                later = trust(w, new, old)
                heard = await proxy.hears()
                await agent.asks(SDS, kind="agent", nonce=(await agent.hears()).nonce)
                await settled(w, 1)
                assert list(announcer.missing()) == ["frontend.weather"]
                await proxy.asks(SDS, kind="sidecar", nonce=heard.nonce)
                await until(w, told, [bundle.digest, later.digest])


async def test_agents_are_no_proxies_to_people_but_to_the_barrier() -> None:
    authority = Authority()
    async with whole(*BASE, root_secret(authority)) as w, plainly(w, "agent") as agent:
        heard = await agent.hears()
        assert await w.get("/debug/syncz") == []
        assert await w.get("/debug/deliveries") == {}
        assert await w.get("/debug/trust") == {"digest": "", "programmed": "", "missing": []}
        [status] = await w.get("/debug/agents")
        assert (status["proxy"], status["types"]["SDS"]["status"]) == ("frontend.weather (agent)", "STALE")
        verdict = await w.in_force(seconds=0.2)
        assert verdict["state"] == "timeout"
        assert verdict["waitingFor"] == ["frontend.weather (agent): SDS ROOTCA"]
        await agent.asks(SDS, kind="agent", nonce=heard.nonce)
        verdict = await w.in_force()
        assert (verdict["state"], verdict["proxies"]) == ("in-force", [])
        assert [each["proxy"] for each in verdict["agents"]] == ["frontend.weather (agent)"]


async def settled(w: Whole, count: int) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    assert await w.pilot.sessions.notice.wait_for(
        lambda: sum(not session.machine.unsettled() for session in w.pilot.sessions) == count,
        deadline=deadline,
    )
