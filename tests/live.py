"""For tests of what reads the Kubernetes API: a client of a served one, and waiting for a condition."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from mesh.platform.client import connect

DEADLINE = 30.0


class Source(Protocol):
    """Something that keeps itself up to date."""

    synced: asyncio.Event

    def run(self) -> Coroutine[Any, Any, None]: ...


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[None]:
    """Run a source until the end of the block, from the moment that it is synced."""
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(DEADLINE):
            await source.synced.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition; AssertionError with `what` if it does not come true."""
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def client_of(kubeconfig: Path) -> AsyncIterator[Any]:
    """A `kubernetes.aio` client."""
    async with connect(kubeconfig) as client:
        yield client
