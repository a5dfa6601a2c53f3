"""Tasks in the background of something that serves: they end with it, and their failure is its failure."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Task = asyncio.Task[None]


class Serving(Protocol):
    """Something that runs until a part of it fails."""

    async def finished(self) -> None:
        """Wait until a part fails, and raise what it raised."""


def background(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> Task:
    """Begin some work; it is cancelled and waited for when the stack is closed."""
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task


async def first_failure(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Wait until one of the tasks ends, and raise what it raised; return if it raised nothing."""
    tasks = tuple(tasks)
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()


async def unless_failed(work: Awaitable[T], tasks: Iterable[Task]) -> T:
    """The result of some work, unless a task fails first: its error is raised then."""
    waiting = asyncio.ensure_future(work)
    try:
        await first_failure((waiting, *tasks))  # type: ignore[arg-type]  # its result is not looked at
        return await waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def any_finished(parts: Iterable[Serving]) -> None:
    """Wait until one of several that serve fails, and raise what it raised."""
    tasks = [asyncio.ensure_future(part.finished()) for part in parts]
    try:
        await first_failure(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
