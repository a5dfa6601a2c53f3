"""S3: the injector on its own follows the root that is mounted into it."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mesh.injector.main import follow
from mesh.model.trust import TrustBundle
from mesh.pki.certificates import chain_pem
from mesh.pki.trust import Trust
from tests import loops
from tests.live import until
from tests.pki.authorities import authority

pytestmark = pytest.mark.behaviour("S3")


def root() -> str:
    return chain_pem([authority().certificate]).decode()


def test_a_root_that_cannot_be_read_leaves_what_was_known(tmp_path: Path) -> None:
    first, second = root(), root()
    file = tmp_path / "root-cert.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    trust = Trust(TrustBundle(first))

    async def test(said: list[MutableMapping[str, Any]]) -> None:
        task = asyncio.create_task(follow(trust, file, poll=0.001))
        try:
            await until(lambda: "no certificates can be read" in str(said), "the warning")
            assert trust.current.root_cert == first
            file.unlink()
            await until(lambda: "No such file" in str(said), "the second warning")
            file.write_text(second)
            await until(lambda: trust.current.root_cert == second, "the new root")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with capture_logs() as said:
        loops.run(test(said))
