"""A source that somebody else runs, for who expects to run it."""

import asyncio
from collections.abc import Callable, Mapping

from mesh.model import ConfigObject, ObjectKey
from mesh.model.sources import ConfigSource


class Joined:
    """A `ConfigSource` whose `run` waits for the task that runs the real one, and fails as it does."""

    def __init__(self, source: ConfigSource, task: asyncio.Task[None]) -> None:
        self._source = source
        self._task = task

    def __repr__(self) -> str:
        return repr(self._source)

    @property
    def synced(self) -> asyncio.Event:
        """Set once everything that existed at the start has been read."""
        return self._source.synced

    async def run(self) -> None:
        """Wait for the end of the one that runs it; being cancelled does not end that."""
        await asyncio.shield(self._task)

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force."""
        return self._source.objects()

    def seen(self, key: ObjectKey) -> str | None:
        """The version last seen of an object; None if it does not exist."""
        return self._source.seen(key)

    def rejected(self, key: ObjectKey) -> Exception | None:
        """Why the version last seen is not in force."""
        return self._source.rejected(key)

    def subscribe(self, changed: Callable[[frozenset[ObjectKey]], None]) -> None:
        """Call `changed` after each change."""
        self._source.subscribe(changed)
