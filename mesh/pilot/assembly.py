"""The compiler and the world, put together from registry, configuration and the mesh's settings."""

import asyncio
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import Any

from mesh.api.kinds import WATCHED
from mesh.model import ObjectKey
from mesh.model.sources import Changes, ConfigSource, Registry
from mesh.pilot.compile import Compiler
from mesh.pilot.pilot import Listen, Pilot, serving
from mesh.pilot.settings import Settings
from mesh.pilot.snapshot import Snapshot
from mesh.pilot.world import World


def assembled(
    registry: Registry, config: ConfigSource, settings: Settings, *, further_kinds: Set[str] = frozenset()
) -> tuple[Compiler, World]:
    """The compiler, and the world that makes snapshots of registry and configuration.

    `further_kinds` are what `config` brings beside the kinds of the mesh's own configuration.
    """

    def make(previous: Snapshot | None, keys: frozenset[ObjectKey], changes: Changes) -> Snapshot:
        return Snapshot.build(previous, registry, config, settings.current, changes, keys)

    kinds = frozenset(kind.kind for kind in WATCHED)
    return Compiler(), World(registry, config, make, config_kinds=kinds, further_kinds=further_kinds)


@asynccontextmanager
async def with_settings(
    world: World, compiler: Compiler, settings: Settings, listen: Listen, **options: Any
) -> AsyncIterator[Pilot]:
    """Run Pilot as `serving` does, and follow the mesh's settings."""
    async with serving(world, compiler, listen, **options) as pilot:
        task = asyncio.create_task(settings.run(pilot.pushes.changed), name="settings")
        pilot.tasks.append(task)
        try:
            yield pilot
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
