"""Real HTTP through a real Envoy: servers that say their name, and a caller that never retries."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web


@asynccontextmanager
async def server(name: str) -> AsyncIterator[int]:
    """A server on loopback that answers everything with its name; gives its port."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def call(url: str) -> str:
    """One request on a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return await answer.text() if answer.status == 200 else f"{answer.status} {await answer.text()}"


class Traffic:
    """Requests one after another, on kept and on fresh connections in turn; counts the answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    async def __aenter__(self) -> "Traffic":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: Any) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def more(self, count: int) -> None:
        """Return when so many more requests have been answered."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((self.answers.total() + count, waiter))
        async with asyncio.timeout(20):
            await waiter

    async def _run(self) -> None:
        async with aiohttp.ClientSession() as kept:
            while True:
                try:
                    async with kept.get(self.url) as answer:
                        text = await answer.text()
                        self._count(text if answer.status == 200 else f"{answer.status} {text}")
                    self._count(await call(self.url))
                except aiohttp.ClientError as error:
                    self._count(repr(error))

    def _count(self, answer: str) -> None:
        self.answers[answer] += 1
        for waiter in [each for each in self._waiters if each[0] <= self.answers.total()]:
            self._waiters.remove(waiter)
            waiter[1].set_result(None)
