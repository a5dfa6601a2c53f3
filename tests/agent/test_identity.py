"""The Pod's identity with a real Envoy, a real Citadel and Pilot's secure port; the wire is looked at."""

import time
from pathlib import Path
from typing import Any

import pytest

from mesh.pki.certificates import identity_of
from tests.agent.inside import run
from tests.agent.mtls import behind_tls, handshake, load, outcome
from tests.agent.running import AGENT, ready, status, text, until
from tests.agent.secured import FRONTEND, agents, secure_pilot, secured
from tests.agent.test_proxy import application
from tests.citadel import rig

pytestmark = pytest.mark.behaviour("S3")


async def is_served(folder: Path) -> Any:
    async with (
        secured(folder) as world,
        world.citadel() as mesh,
        secure_pilot(mesh, behind_tls()) as pilot,
        application(),
    ):
        begin = time.monotonic()
        async with world.agent() as running:
            await ready()
            taken = time.monotonic() - begin
            await pilot.until(lambda: len(agents(pilot)) == 1 and not agents(pilot)[0].machine.unsettled())
            caller = await rig.certificate(mesh, FRONTEND)
            roots = mesh.citadel.trust.roots()
            return {
                "taken": taken,
                "shown": str(identity_of(await handshake(roots, caller))),
                "without": await outcome(roots, None),
                "metrics": await text(f"{AGENT}/stats/prometheus"),
                "identities": sorted({session.identity for session in pilot.sessions}),
                "socket": oct((folder / "uds" / "socket").stat().st_mode & 0o777),
                "files": key_files(folder),
                "log": running.log.read_text(),
            }


def key_files(folder: Path) -> list[str]:
    """Files in which a key can be read, but for the platform's own."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and "api" not in path.parts and b"PRIVATE KEY" in path.read_bytes()
    ]


def test_envoy_shows_a_certificate_of_citadel(tmp_path: Path) -> None:
    found = run(is_served, tmp_path)
    assert found["shown"] == FRONTEND.uri
    assert found["without"] != FRONTEND.uri
    assert found["identities"] == [FRONTEND.uri]
    assert (found["socket"], found["files"]) == ("0o600", [])
    assert 'istio_agent_num_outgoing_requests{request_type="csr"} 1' in found["metrics"]
    assert 'istio_agent_cert_expiry_seconds{resource_name="default"} 86' in found["metrics"]
    assert "envoy_server_live" in found["metrics"]
    assert "Traceback" not in found["log"]
    assert found["taken"] < 10


async def renews(folder: Path) -> Any:
    async with (
        secured(folder) as world,
        world.citadel() as mesh,
        secure_pilot(mesh, behind_tls()),
        application(),
        world.agent(extra={"SECRET_TTL": "6s"}) as running,
    ):
        await ready()
        caller, roots = await rig.certificate(mesh, FRONTEND), mesh.citadel.trust.roots()
        async with load(caller, roots) as calling:
            await until(seen(calling.serials, 2))
        return {
            "good": calling.good,
            "failures": calling.failures,
            "metrics": await text(f"{AGENT}/stats/prometheus"),
            "log": running.log.read_text(),
        }


def seen(found: list[int], count: int) -> Any:
    async def condition() -> bool:
        return len(found) >= count

    return condition


def test_it_is_renewed_before_it_ends_and_no_call_fails(tmp_path: Path) -> None:
    found = run(renews, tmp_path)
    assert found["failures"] == [] and found["good"] > 100
    assert 'istio_agent_num_failed_outgoing_requests{request_type="csr"} 0' in found["metrics"]
    assert found["log"].count("its time is near") >= 1


async def waits_for_citadel(folder: Path) -> Any:
    async with secured(folder) as world:
        async with world.citadel():
            pass  # its root is published; now it is gone
        async with world.agent() as running:
            await until(says("no certificate from Citadel at istio-citadel.istio-system.svc:8060 yet: "))
            refusal = await text(f"{AGENT}/healthz/ready")
            await until(several(running.log, "no certificate"))
            lines = running.log.read_text().splitlines()
            async with world.citadel() as mesh, secure_pilot(mesh, behind_tls()):
                begin = time.monotonic()
                await ready()
                return [refusal, lines, time.monotonic() - begin]


def says(words: str) -> Any:
    """Whether the agent's readiness gives these words."""

    async def condition() -> bool:
        try:
            return words in await text(f"{AGENT}/healthz/ready")
        except OSError:
            return False

    return condition


def several(log: Path, words: str) -> Any:
    async def condition() -> bool:
        return count(log, words) >= 3

    return condition


def count(log: Path, words: str) -> int:
    return log.read_text().count(words)


def test_without_citadel_it_says_so_and_waits(tmp_path: Path) -> None:
    refusal, lines, taken = run(waits_for_citadel, tmp_path)
    assert "does not answer" in refusal
    assert len(lines) < 20
    assert taken < 20


async def expires(folder: Path) -> Any:
    """Citadel goes; the certificate serves until its end, and the agent says what is wrong."""
    async with secured(folder) as world, application():
        async with world.citadel() as mesh, secure_pilot(mesh, behind_tls()):
            caller, roots = await rig.certificate(mesh, FRONTEND), mesh.citadel.trust.roots()
            agent = world.agent(extra={"SECRET_TTL": "10s"})
            running = await agent.__aenter__()
            await ready()
        try:
            meanwhile = [await status(f"{AGENT}/healthz/ready"), await outcome(roots, caller)]
            await until(says("the certificate expired at "), 40)
            refusal = await text(f"{AGENT}/healthz/ready")
            metrics = await text(f"{AGENT}/stats/prometheus")
            async with world.citadel() as mesh, secure_pilot(mesh, behind_tls()):
                await until(good)
                caller = await rig.certificate(mesh, FRONTEND)
                return [meanwhile, refusal, metrics, await outcome(roots, caller), running.log.read_text()]
        finally:
            await agent.__aexit__(None, None, None)


async def good() -> bool:
    return await status(f"{AGENT}/healthz/ready") == 200


def test_citadels_absence_is_survived_until_the_certificate_ends(tmp_path: Path) -> None:
    meanwhile, refusal, metrics, again, log = run(expires, tmp_path)
    assert meanwhile == [200, FRONTEND.uri]
    assert "does not answer" in refusal
    failed = next(line for line in metrics.splitlines() if line.startswith("istio_agent_num_failed"))
    assert int(failed.rsplit(" ", 1)[1]) > 0
    assert 'istio_agent_cert_expiry_seconds{resource_name="default"} -' in metrics
    assert again == FRONTEND.uri
    assert "Traceback" not in log


async def is_refused(folder: Path) -> Any:
    async with secured(folder) as world, world.citadel() as mesh:
        world.token.write_text(await mesh.token(FRONTEND, audience="another"))
        async with world.agent() as running:
            await until(says("audience"))
            refusals = [await text(f"{AGENT}/healthz/ready")]
            world.token.unlink()
            await until(says("token cannot be read"))
            refusals.append(await text(f"{AGENT}/healthz/ready"))
            return [refusals, running.log.read_text()]


def test_a_refusal_is_told_with_its_reason(tmp_path: Path) -> None:
    (audience, missing), log = run(is_refused, tmp_path)
    assert "no certificate from Citadel" in audience and "UNAUTHENTICATED" in audience
    assert "No such file" in missing
    assert "Traceback" not in log
