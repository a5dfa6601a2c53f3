"""What tests of adapters stand on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from mesh.rules.adapter import Adapter, Environment, Instance

HANDLER = "own.weather"
A = TypeVar("A", bound=Adapter[Any])


class Clock:
    """Seconds that the test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def started(
    kind: type[A],
    clock: Callable[[], float] | None = None,
    registry: CollectorRegistry | None = None,
    folder: Path = Path(),
    **params: Any,
) -> AsyncIterator[A]:
    """A handler with these parameters, closed at the end of the block, as istio-policy closes them."""
    tasks: list[asyncio.Task[None]] = []
    clock = clock or Clock()
    environment = Environment(
        HANDLER,
        clock,
        clock,
        lambda work, name: tasks.append(asyncio.create_task(work, name=name)),
        registry or CollectorRegistry(),
        folder,
    )
    adapter = kind(kind.Params.model_validate(params), environment)
    await adapter.start()
    try:
        yield adapter
    finally:
        await adapter.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def entry(value: Any) -> Instance:
    """An instance of listentry."""
    return Instance("entry.instance.weather", "listentry", {"value": value})


def asked(user: str = "", groups: str = "", *, who: Any = None, what: Any = None, **action: Any) -> Instance:
    """An instance of authorization: `who` and `what` are properties of subject and action."""
    subject = {"user": user, "groups": groups, "properties": who or {}}
    return Instance(
        "who.instance.weather",
        "authorization",
        {"subject": subject, "action": {**action, "properties": what or {}}},
    )
