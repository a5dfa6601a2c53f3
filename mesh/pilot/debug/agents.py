"""Asks the proxies' agents whether anything is still warming. Envoy ACKs before it uses; its agent knows.

`GET http://<proxy>:15020/debug/warming` answers `{"clusters": n, "listeners": n}`, from Envoy's own counters.
"""

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp

from mesh.model import Proxy, ProxyKind
from mesh.pilot.ads.session import Session

PORT = 15020
POLL = 0.003  # seconds between questions while something warms
RETRY = 0.02  # seconds until an agent that does not answer is asked again
PATIENCE = 1.0  # seconds for one answer


@dataclass(frozen=True, slots=True)
class Warming:
    """An agent's last word: nothing warms if `problem` is empty."""

    problem: str = ""

    def __bool__(self) -> bool:
        return bool(self.problem)


def agent_port(proxy: Proxy) -> int | None:
    """Where the proxy's agent listens; None if it has none.

    The proxy's metadata may say `STATUS_PORT`; 0 means no agent. gRPC clients without a proxy
    (`GENERATOR: grpc`, as in Istio) have none. An agent's own stream has nothing that could warm.
    """
    if proxy.kind is ProxyKind.AGENT or proxy.metadata.get("GENERATOR") == "grpc":
        return None
    return int(proxy.metadata.get("STATUS_PORT", PORT)) or None


class Agents:
    """Connections to the agents, kept open. Use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Agents":
        connector = aiohttp.TCPConnector(limit=0, force_close=False)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(self, proxy: Proxy) -> Warming:
        """Ask once."""
        port = agent_port(proxy)
        if port is None:
            return Warming()
        host = f"[{proxy.address}]" if ":" in proxy.address else proxy.address
        url = f"http://{host}:{port}/debug/warming"
        try:
            answer = await self._get(url)
            clusters, listeners = int(answer["clusters"]), int(answer["listeners"])
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Warming(f"its agent does not answer at {url}: {error or type(error).__name__}")
        except (ValueError, KeyError, TypeError) as error:
            return Warming(f"its agent's answer at {url} makes no sense: {error!r}")
        if clusters or listeners:
            return Warming(f"{clusters} clusters and {listeners} listeners are warming")
        return Warming()

    async def _get(self, url: str) -> Any:
        assert self._http is not None, "use Agents as a context manager"
        async with self._http.get(url) as answer:
            answer.raise_for_status()
            return json.loads(await answer.read())

    async def wait(self, session: Session, *, deadline: float) -> Warming:
        """Ask until nothing warms, or the proxy is gone; the last word once the loop's time is `deadline`."""
        loop = asyncio.get_running_loop()
        while True:
            word = await self.ask(session.proxy)
            if session.closed:
                return Warming()
            if not word or loop.time() >= deadline:
                return word
            await asyncio.sleep(POLL if "warming" in word.problem else RETRY)
