"""A real pilot-agent with its Envoy, inside a scenario's namespaces."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

READY = "http://127.0.0.1:15021/healthz/ready"
AGENT = "http://127.0.0.1:15020"
PILOT_AGENT = [sys.executable, "-m", "mesh.agent.main"]
STEP = 0.01
EMPTY: Mapping[str, str] = {}


@dataclass
class Running:
    """An agent; `log` is what it and Envoy wrote."""

    process: asyncio.subprocess.Process
    pid: int
    log: Path
    folder: Path

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """The exit code."""
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def agent(
    folder: Path,
    xds_port: int,
    *,
    first: bool = False,
    delta: bool = True,
    extra: Mapping[str, str] = EMPTY,
    **config: Any,
) -> AsyncIterator[Running]:
    """Start `pilot-agent proxy sidecar`; as the first process of a PID namespace if asked to.

    `config` is of its ProxyConfig, `extra` of its environment.
    """
    argv = [*PILOT_AGENT, "proxy", "sidecar", "--configPath", str(folder / "proxy")]
    if first:
        argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *argv]
    log = folder / "log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=out, stderr=out, env={**environment(xds_port, delta, config), **extra}, cwd="/"
        )
    try:
        yield Running(process, await child_of(process.pid) if first else process.pid, log, folder)
    except BaseException:
        print(log.read_text()[-6000:], file=sys.stderr)
        raise
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def environment(xds_port: int, delta: bool, config: dict[str, Any]) -> dict[str, str]:
    plain = {"discoveryAddress": f"127.0.0.1:{xds_port}", "controlPlaneAuthPolicy": "NONE"}
    settings = plain | {"terminationDrainDuration": "5s"} | config
    return {
        "PATH": os.environ["PATH"],
        "POD_NAME": "frontend",
        "POD_NAMESPACE": "weather",
        "INSTANCE_IP": "127.0.0.1",
        "SERVICE_ACCOUNT": "frontend",
        "PROXY_CONFIG": json.dumps(settings),
        "ISTIO_META_WORKLOAD_NAME": "frontend-v1",
        "ISTIO_DELTA_XDS": "true" if delta else "false",
    }


async def child_of(pid: int) -> int:
    """The one child of a process, once it has one."""

    async def found() -> bool:
        return bool(children(pid))

    await until(found)
    return children(pid)[0]


def children(pid: int) -> list[int]:
    """The processes that a process has started or adopted and not yet let go."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Return when a condition holds, looked at every few milliseconds."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - other processes give no notice
            await asyncio.sleep(STEP)


async def status(url: str) -> int:
    """The status of one request on a connection of its own; 0 if nobody answers."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def text(url: str, method: str = "GET") -> str:
    async with aiohttp.ClientSession() as http, http.request(method, url) as answer:
        return await answer.text()


async def ready(url: str = READY) -> None:
    """Return when the proxy says so, as the kubelet would ask it."""

    async def says_so() -> bool:
        return await status(url) == 200

    await until(says_so)
