"""S1: the root is replaced with overlap; each phase waits until the one before is in force everywhere."""

import asyncio
from typing import Any

import pytest

from mesh.citadel.authority import Authority
from mesh.citadel.kube import encoded
from mesh.citadel.pems import written
from mesh.citadel.publishing import bundle_of
from mesh.citadel.state import ROTATE, ROTATED, STATUS, annotation
from mesh.pki.certificates import chain_problem, load_chain
from tests import loops
from tests.citadel.authorities import chained
from tests.citadel.rig import Mesh, by_certificate, certificate, eventually, mesh
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("S1")


async def announce(it: Mesh) -> None:
    """Say, as Pilot does, that the published bundle is in force at every proxy."""
    found = await it.get("configmaps", "istio-trust")
    patch = {"metadata": {"annotations": {"trust.istio.io/programmed": bundle_of(found).digest}}}
    await it.patch("configmaps", "istio-trust", patch)


async def wish(it: Mesh, when: str) -> None:
    """Ask for another root, as meshctl does."""
    await it.patch("secrets", "istio-ca-secret", {"metadata": {"annotations": {ROTATE: when}}})


async def status(it: Mesh) -> str:
    return annotation(await it.get("secrets", "istio-ca-secret"), STATUS)


async def roots(it: Mesh) -> list[str]:
    """The published roots' names."""
    found = bundle_of(await it.get("configmaps", "istio-trust"))
    return [each.subject.rfc4514_string() for each in load_chain(found.root_cert.encode())]


def trusted(it: Mesh, chain: bytes) -> bool:
    return chain_problem(load_chain(chain), it.citadel.trust.bundle.certificates, it.clock()) is None


def test_a_root_is_replaced_in_phases_and_everybody_is_trusted_all_the_time(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            (old,) = await roots(it)
            first = await certificate(it, me)
            await wish(it, "2026-01-01")
            await eventually(lambda: two(it), "both roots")
            assert (await roots(it))[0] == old
            by_old = await certificate(it, me)
            assert by_old.leaf.issuer.rfc4514_string() == old
            assert "waiting for Pilot" in await eventually(lambda: waiting(it), "a status")
            await announce(it)
            await eventually(lambda: switched(it, old), "the new root first")
            new = (await roots(it))[0]
            by_new = await certificate(it, me)
            assert by_new.leaf.issuer.rfc4514_string() == new
            for pair in (first, by_old, by_new):
                assert trusted(it, pair.chain)
                await by_certificate(it, pair, me)
            await announce(it)
            await eventually(lambda: only(it, new), "the old root withdrawn")
            assert not trusted(it, first.chain)
            await by_certificate(it, by_new, me)
            secret = await it.get("secrets", "istio-ca-secret")
            assert annotation(secret, ROTATED) == "2026-01-01"
            assert {name.split("-")[0] for name in secret["data"]} == {"ca", "cert", "root"}

    loops.run(test())


async def two(it: Mesh) -> bool:
    return len(await roots(it)) == 2


async def waiting(it: Mesh) -> str:
    found = await status(it)
    return found if "waiting" in found else ""


async def switched(it: Mesh, old: str) -> bool:
    found = await roots(it)
    return len(found) == 2 and found[1] == old


async def only(it: Mesh, name: str) -> bool:
    return await roots(it) == [name]


async def helping(it: Mesh, enough: asyncio.Event) -> None:
    """Play Pilot's part for as long as it is wanted."""
    while not enough.is_set():
        await announce(it)
        await asyncio.sleep(0.02)


async def with_pilot(it: Mesh, condition: Any, what: str) -> None:
    """Wait for something that needs Pilot."""
    enough = asyncio.Event()
    task = asyncio.create_task(helping(it, enough))
    try:
        await eventually(condition, what)
    finally:
        enough.set()
        await task


def test_a_rotation_goes_on_after_a_restart(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            (old,) = await roots(it)
            await wish(it, "once")
            await eventually(lambda: two(it), "both roots")
            namespace = it.namespace
        async with mesh(served, namespace=namespace) as it:
            assert (await roots(it))[0] == old
            await with_pilot(it, lambda: done(it, "once"), "the rotation's end")
            assert await roots(it) != [old]

    loops.run(test())


async def done(it: Mesh, wished: str) -> bool:
    return annotation(await it.get("secrets", "istio-ca-secret"), ROTATED) == wished


def test_a_root_of_ten_years_is_replaced_before_its_end_without_being_asked(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            (old,) = await roots(it)
            it.clock.pass_(days=3650 * 0.8)
            await it.citadel.core.step()
            assert await roots(it) == [old]
            it.clock.pass_(days=3650 * 0.15)
            await it.citadel.core.step()
            assert len(await roots(it)) == 2

    loops.run(test())


def test_an_expired_root_is_replaced_at_once(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            (old,) = await roots(it)
            it.clock.pass_(days=3651)
            await it.citadel.core.step()
            (new,) = await roots(it)
            assert new != old

    loops.run(test())


def test_the_operators_authority_replaces_the_self_signed_one_with_overlap(served: Served) -> None:
    async def test() -> None:
        async with mesh(served) as it:
            me = await it.account(it.namespace, "forecast")
            authority, root = chained(it.clock())
            await it.create("secrets", operators(authority))
            await eventually(lambda: two(it), "both roots")
            name = root.subject.rfc4514_string()
            await with_pilot(it, lambda: only(it, name), "only the operator's root")
            pair = await certificate(it, me)
            leaf, between, _ = load_chain(pair.chain)
            assert leaf.issuer == between.subject == authority.certificate.subject
            await by_certificate(it, pair, me)
            await wish(it, "never")
            assert "replace Secret cacerts" in await eventually(lambda: refused(it), "a refusal")

    loops.run(test())


async def refused(it: Mesh) -> str:
    found = await status(it)
    return found if "refused" in found else ""


def operators(authority: Authority) -> dict[str, Any]:
    return {"metadata": {"name": "cacerts"}, "type": "Opaque", "data": encoded(written(authority))}
