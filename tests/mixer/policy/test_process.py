"""istio-policy in a process of its own: on files, and on a cluster with a real Citadel."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest
import yaml

from mesh.mixer.policy.main import main
from mesh.pki.following import renewing
from mesh.pki.holder import Holder
from tests import loops
from tests.citadel.rig import eventually, mesh
from tests.galley.rig import on, with_kinds
from tests.galley.test_process import is_ready
from tests.mixer.policy.rig import CHECK, SERVICES, CheckResponse, handler, instance, request, rule
from tests.pocketkube.api.rig import Served
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("W8")


def denying(namespace: str = "istio-system") -> list[dict[str, Any]]:
    actions = [{"handler": "deny", "instances": ["nothing"]}]
    return [
        handler("deny", "denier", namespace, status={"code": 7, "message": "Not allowed"}),
        instance("nothing", "checknothing", namespace),
        rule("r", 'request.headers["bad"] == "1"', actions, namespace),
    ]


@asynccontextmanager
async def process(arguments: Mapping[str, Any]) -> AsyncIterator[int]:
    """A running istio-policy; its gRPC port, when it is ready. It must end well when asked to."""
    port, http = free_port(), free_port()
    given = {"listen": "127.0.0.1", "grpc-port": port, "http-port": http, **arguments}
    command = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mesh.mixer.policy.main", *command, cwd=Path(__file__).parents[3],
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )  # fmt: skip
    try:
        await eventually(lambda: is_ready(http), "istio-policy")
        yield port
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def asked(channel: Any, headers: dict[str, str]) -> Any:
    call = channel.unary_unary(CHECK, response_deserializer=CheckResponse.FromString)
    return await call(request(headers).SerializeToString(), timeout=30)


def test_on_files(tmp_path: Path) -> None:
    services, rules = tmp_path / "services.yaml", tmp_path / "rules.yaml"
    services.write_text(yaml.safe_dump(SERVICES))
    rules.write_text(yaml.safe_dump_all(denying()))

    async def test() -> None:
        async with (
            process({"registry-file": services, "config-files": rules}) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            assert (await asked(channel, {})).status.code == 0
            refused = await asked(channel, {"bad": "1"})
            assert refused.denied_response.body == "PERMISSION_DENIED:deny.istio-system:Not allowed"

    loops.run(test())


def test_on_a_cluster_with_a_certificate(served: Served, tmp_path: Path) -> None:
    async def test() -> None:
        await with_kinds(served)
        async with mesh(served) as it:
            identity = await it.account(it.namespace, "istio-policy")
            (tmp_path / "token").write_text(await it.token(identity))
            (tmp_path / "root.pem").write_bytes(it.citadel.trust.roots())
            for each in denying(it.namespace):
                resource = f"{each['kind']}s.config.istio.io"
                await on(served, served.api.create(resource, each, it.namespace))
            arguments = {
                "kubeconfig": served.kubeconfig, "namespace": it.namespace,
                "ca-address": f"localhost:{it.citadel.token_port}", "ca-mutual-port": it.citadel.mutual_port,
                "ca-name": f"istio-citadel.{it.namespace}.svc",
                "root-cert": tmp_path / "root.pem", "token": tmp_path / "token",
            }  # fmt: skip
            caller = Holder(await it.account(it.namespace, "frontend"), it.citadel.signer)
            async with process(arguments) as port, renewing(caller):
                pair = caller.pair
                credentials = grpc.ssl_channel_credentials(it.citadel.trust.roots(), pair.key, pair.chain)
                name = (("grpc.ssl_target_name_override", f"istio-policy.{it.namespace}.svc"),)
                async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=name) as channel:
                    assert (await asked(channel, {"bad": "1"})).denied_response.status.code == 403

    loops.run(test())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--ca-address is missing"),
        (["--config-address", "a:1"], "--config-address needs --ca-address"),
        (["--ca-address", "a"], "--ca-address: 'a' is not HOST:PORT"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
