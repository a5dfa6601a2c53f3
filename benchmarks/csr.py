"""CSRs signed per second by a Citadel in a process of its own, over gRPC, ledger and all.

`python -m benchmarks.csr [REQUESTS]`. Client and API server share the machine with it; keys and requests are
made before the clock runs.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from mesh.pki import csr as csrs
from mesh.pki import wire
from mesh.pki.keypair import KeyPair
from mesh.pki.keys import key_pem, new_key
from mesh.pki.spiffe import Identity
from tests.pocketkube.api.rig import Served

SYSTEM = "istio-system"
NAME = f"istio-citadel.{SYSTEM}.svc"
PER_IDENTITY = 50  # below the limit of one caller
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class CsrFigures:
    """Certificates a second and milliseconds of each answer, by either port; CPU of Citadel for each."""

    token_per_second: float
    token_median_ms: float
    mutual_per_second: float
    mutual_median_ms: float
    mutual_p99_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Caller:
    """One workload: its key, the request for it, its token."""

    identity: Identity
    request: bytes
    key: Any
    token: str


def measure(requests: int = 2000) -> CsrFigures:
    """Ask for `requests` certificates over each port."""
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder)) as served:
        callers = [_caller(served, number) for number in range(max(requests // PER_IDENTITY, 1))]
        with citadel(served) as (ports, process):
            roots = served.run(_root(served))
            return asyncio.run(_measure(ports, process, roots, callers, requests))


async def _measure(
    ports: tuple[int, int], process: int, roots: bytes, callers: Sequence[Caller], requests: int
) -> CsrFigures:
    order = [callers[number % len(callers)] for number in range(requests)]
    async with calling(ports[0], grpc.ssl_channel_credentials(roots)) as call:
        chains = {
            caller.identity: wire.chain_of(await call(_message(caller), metadata=_metadata(caller)))
            for caller in callers
        }
        by_token = await _times(
            lambda caller: call(_message(caller), metadata=_metadata(caller)), order[: requests // 2]
        )
    async with _channels(ports[1], roots, callers, chains) as calls:
        before = _cpu(process)
        by_certificate = await _times(
            lambda caller: calls[caller.identity](_message(caller)), order[: requests // 2]
        )
        spent = _cpu(process) - before
    return CsrFigures(
        len(by_token[1]) / by_token[0], statistics.median(by_token[1]) * 1000,
        len(by_certificate[1]) / by_certificate[0], statistics.median(by_certificate[1]) * 1000,
        statistics.quantiles(by_certificate[1], n=100)[98] * 1000, spent / len(by_certificate[1]) * 1000,
    )  # fmt: skip


async def _times(ask: Any, order: Sequence[Caller]) -> tuple[float, list[float]]:
    """Seconds for all of them, and for each; so many at once."""
    left, each = list(order), list[float]()

    async def work() -> None:
        while left:
            caller, began = left.pop(), time.perf_counter()
            await ask(caller)
            each.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - began, each


@asynccontextmanager
async def calling(port: int, credentials: Any) -> AsyncIterator[Any]:
    """The method at a port."""
    options = (("grpc.ssl_target_name_override", NAME),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        yield channel.unary_unary(wire.PATH)


@asynccontextmanager
async def _channels(
    port: int, roots: bytes, callers: Sequence[Caller], chains: dict[Identity, bytes]
) -> AsyncIterator[dict[Identity, Any]]:
    """A connection of every caller, by its certificate."""
    options = (("grpc.ssl_target_name_override", NAME), ("grpc.use_local_subchannel_pool", 1))
    channels = {}
    for caller in callers:
        pair = KeyPair(key_pem(caller.key), chains[caller.identity])
        credentials = grpc.ssl_channel_credentials(roots, pair.key, pair.chain)
        channels[caller.identity] = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)
    await asyncio.gather(*(channel.channel_ready() for channel in channels.values()))
    yield {identity: channel.unary_unary(wire.PATH) for identity, channel in channels.items()}
    await asyncio.gather(*(channel.close() for channel in channels.values()))


@contextmanager
def citadel(served: Served) -> Iterator[tuple[tuple[int, int], int]]:
    """A Citadel in a process of its own: its ports, its process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mesh.citadel.main", "--kubeconfig", str(served.kubeconfig),
         "--listen", "127.0.0.1", "--token-port", "0", "--mutual-port", "0", "--http-port", "0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield _ports(process.stdout), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _ports(log: IO[str]) -> tuple[int, int]:
    for line in log:
        said = json.loads(line)
        if said["event"] == "serving":
            return said["token_port"], said["mutual_port"]
    raise RuntimeError("Citadel has ended")


def _caller(served: Served, number: int) -> Caller:
    async def account() -> str:
        await served.api.create("serviceaccounts", {"metadata": {"name": f"a{number}"}}, "default")
        return served.api.mint_token("default", f"a{number}", audiences=["istio-ca"], seconds=3600)

    if not number:
        served.run(_system(served))
    identity, key = Identity("cluster.local", "default", f"a{number}"), new_key()
    return Caller(identity, csrs.request(identity, key), key, served.run(account()))


async def _system(served: Served) -> None:
    await served.api.create("namespaces", {"metadata": {"name": SYSTEM}})
    await served.api.create("serviceaccounts", {"metadata": {"name": "istio-citadel"}}, SYSTEM)


async def _root(served: Served) -> bytes:
    return str(served.api.get("configmaps", "istio-trust", SYSTEM)["data"]["root-cert.pem"]).encode()


def _message(caller: Caller) -> bytes:
    return wire.certificate_request(caller.request, 3600)


def _metadata(caller: Caller) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {caller.token}"),)


def _cpu(process: int) -> float:
    """CPU seconds of a process."""
    import os

    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:2])))
