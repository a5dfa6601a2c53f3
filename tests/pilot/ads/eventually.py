"""Waiting for what lies outside this process and cannot give notice: asked again until it holds."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.005)
