"""The classic way: a real Citadel's Secret `istio.<account>`, mounted as the kubelet does it."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.agent.identity.mounted import Mounted
from tests.agent.inside import run
from tests.agent.mtls import behind_tls, handshake
from tests.agent.pairs import NOW, Authority
from tests.agent.running import AGENT, ready, text, until
from tests.agent.secured import FRONTEND, agents, secure_pilot, secured
from tests.agent.test_identity import says
from tests.agent.test_proxy import application
from tests.citadel import rig

pytestmark = pytest.mark.behaviour("S2")

SECRET = "istio.frontend"


def mount(folder: Path, files: Mapping[str, bytes], version: int) -> None:
    """As the kubelet: a folder of the files, and a symbolic link that is swapped to it."""
    folder.mkdir(exist_ok=True)
    data = folder / f"..{version}"
    data.mkdir()
    for name, content in files.items():
        (data / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..tmp").symlink_to(data.name)
    (folder / "..tmp").replace(folder / "..data")


async def files_of(mesh: rig.Mesh) -> dict[str, bytes]:
    """What Citadel has written, once it has."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        try:
            found.update(await mesh.get("secrets", SECRET, "weather"))
        except Exception:
            return False
        return True

    await until(there)
    return {name: base64.b64decode(value) for name, value in found["data"].items()}


async def uses_files(folder: Path) -> Any:
    certs = folder / "certs"
    extra = {
        "FILE_MOUNTED_CERTS": "true",
        "MOUNTED_CERTS": str(certs),
        "CA_ROOT_CA": "",
        "CA_ADDR": "nobody:1",
    }
    async with (
        secured(folder) as world,
        world.citadel() as mesh,
        secure_pilot(mesh, behind_tls()) as pilot,
        application(),
        world.agent(extra=extra) as running,
    ):
        await until(says(f"no certificate from {certs} yet"))
        waiting = await text(f"{AGENT}/healthz/ready")
        mount(certs, await files_of(mesh), 1)
        await ready()
        await pilot.until(lambda: len(agents(pilot)) == 1)
        caller, roots = await rig.certificate(mesh, FRONTEND), mesh.citadel.trust.roots()
        first = await handshake(roots, caller)
        await mesh.on_api(mesh.served.api.delete("secrets", SECRET, "weather"))
        mount(certs, await files_of(mesh), 2)

        async def another() -> bool:
            return (await handshake(roots, caller)).serial_number != first.serial_number

        await until(another)
        return [waiting, running.log.read_text()]


def test_envoy_shows_what_is_mounted_and_follows_it(tmp_path: Path) -> None:
    waiting, log = run(uses_files, tmp_path)
    assert "No such file" in waiting
    assert "Traceback" not in log


def test_files_that_are_not_whole_are_left_alone_until_they_are(tmp_path: Path) -> None:
    authority = Authority("one")
    one, two = authority.pair(), authority.pair()
    mounted = Mounted(tmp_path, clock=lambda: NOW)
    mounted.look()
    assert mounted.current is None and "No such file" in mounted.trouble
    for key, chain, trouble in (
        (one.key, one.chain, ""),
        (two.key, one.chain, "does not fit"),
        (two.key, b"", "no certificates can be read"),
        (b"x", two.chain, "not a private key"),
    ):
        (tmp_path / "key.pem").write_bytes(key)
        (tmp_path / "cert-chain.pem").write_bytes(chain)
        mounted.look()
        assert mounted.current == one
        assert trouble in mounted.trouble and bool(trouble) == bool(mounted.trouble)
    assert mounted.seconds_left() == 24 * 3600
