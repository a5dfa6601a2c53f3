"""G2: Galley in a process of its own, with a real Citadel and API server, read by a client."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from mesh.galley.client import ConfigClient
from mesh.galley.main import parser, settings_of
from mesh.model import ObjectKey
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from mesh.program import explained
from tests import loops
from tests.citadel.rig import Mesh, eventually, mesh
from tests.galley.rig import on, with_kinds
from tests.galley.test_store import rule
from tests.live import running, until
from tests.pocketkube.api.rig import Served
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("S3", "G2")
RESOURCE = "destinationrules.networking.istio.io"


@asynccontextmanager
async def process(it: Mesh, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """A `galley` that gets its certificate by token; its ports of configuration and of HTTP."""
    webhook, config, http = (free_port() for _ in range(3))
    identity = await it.account(it.namespace, "istio-galley")
    (folder / "token").write_text(await it.token(identity))
    (folder / "root.pem").write_bytes(it.citadel.trust.roots())
    arguments = {
        "listen": "127.0.0.1", "webhook-port": webhook, "config-port": config, "http-port": http,
        "namespace": it.namespace, "account": "istio-galley", "kubeconfig": it.served.kubeconfig,
        "ca-address": f"localhost:{it.citadel.token_port}", "ca-mutual-port": it.citadel.mutual_port,
        "ca-name": f"istio-citadel.{it.namespace}.svc",
        "root-cert": folder / "root.pem", "token": folder / "token",
    }  # fmt: skip
    command = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mesh.galley.main", *command, cwd=Path(__file__).parents[2],
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )  # fmt: skip
    try:
        yield config, http
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def is_ready(http: int) -> bool:
    """Whether the process says that it is ready."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{http}/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False


def test_configuration_goes_out_and_status_comes_back(served: Served, tmp_path: Path) -> None:
    namespace = served.namespace()
    key = ObjectKey("DestinationRule", namespace, "forecast")
    obj = rule("", namespace=namespace)
    obj["metadata"].pop("resourceVersion")

    async def test() -> None:
        await with_kinds(served)
        async with mesh(served) as it, process(it, tmp_path) as (config, http):
            await eventually(lambda: is_ready(http), "the process")
            holder = Holder(await it.account(it.namespace, "istio-pilot"), it.citadel.signer)
            async with renewing(holder):
                client = ConfigClient(
                    f"127.0.0.1:{config}", holder, it.citadel.trust,
                    server_name=f"istio-galley.{it.namespace}.svc",
                )  # fmt: skip
                async with running(client):
                    await on(served, served.api.create(RESOURCE, obj, namespace))
                    await until(lambda: client.seen(key), "the object")
                    client.report(key, client.seen(key) or "", proxies=1, acked=1, errors=())
                    await asyncio.to_thread(
                        served.kubectl,
                        "wait",
                        "-n",
                        namespace,
                        "--for=condition=Programmed",
                        "dr/forecast",
                        "--timeout=20s",
                    )

    loops.run(test())


def test_what_it_is_started_with_is_checked(tmp_path: Path) -> None:
    options = parser().parse_args(["--config-port", "0", "--namespace", "mesh"])
    assert (settings_of(options).config_port, settings_of(options).namespace) == (0, "mesh")
    missing = FileNotFoundError(2, "No such file or directory", str(tmp_path / "root.pem"))
    assert (
        explained(ExceptionGroup("x", [missing]), "galley")
        == f"{tmp_path}/root.pem: No such file or directory"
    )


def test_a_taken_port_is_told_with_what_to_do() -> None:
    async def twice() -> None:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as first:
            await asyncio.start_server(lambda *_: None, *first.sockets[0].getsockname())

    with pytest.raises(OSError, match="in use") as caught:
        loops.run(twice())
    assert re.search(
        r"127\.0\.0\.1.*in use; free the port, or choose another$", explained(caught.value, "galley")
    )
