"""The agent follows the mesh's trust: a new root, a revocation, and agreeing only when Envoy has agreed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.model.trust import PROGRAMMED
from mesh.pilot.ads.programmed import has_trust
from mesh.pki.certificates import serial_of
from mesh.pki.trust import renewal_reason
from tests.agent.inside import run
from tests.agent.mtls import Load, behind_tls, handshake, load, outcome
from tests.agent.running import ready, until
from tests.agent.secured import FRONTEND, SYSTEM, secure_pilot, secured
from tests.agent.test_proxy import application
from tests.citadel import rig
from tests.citadel.test_rotation import roots, wish
from tests.pilot.ads.pilot import Pilot

pytestmark = pytest.mark.behaviour("S3")


@asynccontextmanager
async def announcing(mesh: rig.Mesh, pilot: Pilot, calling: Load) -> AsyncIterator[None]:
    """Do Pilot's part: say that a bundle is in force when agent, Envoy and the caller have followed it."""

    async def step() -> None:
        trust = mesh.citadel.trust
        digest = trust.current.digest
        await pilot.until(lambda: in_force(pilot), seconds=60)
        if renewal_reason(calling.pair, trust.bundle):
            calling.pair = await rig.certificate(mesh, FRONTEND)
        if digest == trust.current.digest:
            patch = {"metadata": {"annotations": {PROGRAMMED: digest}}}
            await mesh.patch("configmaps", "istio-trust", patch)

    async def run() -> None:
        while True:
            await step()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def in_force(pilot: Pilot) -> bool:
    """Whether an agent and a proxy are connected and nobody lacks the newest bundle."""
    both = {session.is_agent for session in pilot.sessions} == {True, False}
    return both and pilot.pushes.done == pilot.pushes.asked and all(map(has_trust, pilot.sessions))


async def rotates(folder: Path) -> Any:
    async with (
        secured(folder) as world,
        world.citadel() as mesh,
        secure_pilot(mesh, behind_tls()) as pilot,
        application(),
        world.agent() as running,
    ):
        await ready()
        (old,) = await roots(mesh)
        caller = await rig.certificate(mesh, FRONTEND)
        async with load(caller, mesh.citadel.trust.roots()) as calling, announcing(mesh, pilot, calling):
            mesh.citadel.trust.subscribe(lambda _: calling.trust(mesh.citadel.trust.roots()))
            begin = time.monotonic()
            await wish(mesh, "2026-01-01")
            await until(two_roots(mesh))
            await until(only_one(mesh, old))
            taken = time.monotonic() - begin
            before = calling.good
            await until(grown(calling, before + 100))
        return {
            "taken": taken,
            "good": calling.good,
            "failures": calling.failures,
            "old caller": await outcome(mesh.citadel.trust.roots(), caller),
            "log": running.log.read_text(),
            "in force": in_force(pilot),
        }


def two_roots(mesh: rig.Mesh) -> Any:
    async def condition() -> bool:
        return len(await roots(mesh)) == 2

    return condition


def only_one(mesh: rig.Mesh, old: str) -> Any:
    async def condition() -> bool:
        left = await roots(mesh)
        return len(left) == 1 and left[0] != old

    return condition


def grown(calling: Any, count: int) -> Any:
    async def condition() -> bool:
        return bool(calling.good >= count)

    return condition


def test_another_root_replaces_the_certificate_and_no_call_fails(tmp_path: Path) -> None:
    found = run(rotates, tmp_path)
    assert found["failures"] == [] and found["good"] > 50
    assert found["old caller"] != FRONTEND.uri
    assert "another root issues now" in found["log"] and "Traceback" not in found["log"]


async def is_revoked(folder: Path) -> Any:
    async with (
        secured(folder) as world,
        world.citadel() as mesh,
        secure_pilot(mesh, behind_tls()) as pilot,
        application(),
        world.agent() as running,
    ):
        await ready()
        await pilot.until(lambda: in_force(pilot))
        caller, trusted = await rig.certificate(mesh, FRONTEND), mesh.citadel.trust.roots()
        first = await handshake(trusted, caller)
        begin = time.monotonic()
        await revoke(mesh, serial_of(first))
        await until(shows_another(trusted, caller, first.serial_number))
        taken = time.monotonic() - begin
        await pilot.until(lambda: in_force(pilot))
        return [taken, await outcome(trusted, caller), running.log.read_text()]


async def revoke(mesh: rig.Mesh, serial: str) -> None:
    """As meshctl does."""
    entry = {"serials": [serial], "reason": "keyCompromise", "time": mesh.clock().isoformat()}
    await mesh.on_api(
        mesh.served.api.create(
            "configmaps",
            {"metadata": {"name": "istio-revocations"}, "data": {"one": json.dumps(entry)}},
            SYSTEM,
        )
    )


def shows_another(trusted: bytes, caller: Any, serial: int) -> Any:
    async def condition() -> bool:
        return bool((await handshake(trusted, caller)).serial_number != serial)

    return condition


def test_a_revoked_certificate_is_replaced_at_once(tmp_path: Path) -> None:
    taken, shown, log = run(is_revoked, tmp_path)
    assert taken < 10
    assert shown == FRONTEND.uri
    assert "revoked" in log and "renewing by token" in log
    assert "Traceback" not in log
