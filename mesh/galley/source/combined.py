"""Several sources of configuration as one, each asked for the kinds that it brings."""

import asyncio
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

from mesh.model import ConfigObject, ObjectKey
from mesh.model.sources import ConfigSource


class Combined:
    """A `ConfigSource` of `first`, and of further sources each of which alone brings its kinds."""

    def __init__(
        self,
        first: ConfigSource,
        further: Mapping[ConfigSource, frozenset[str]],
        *,
        ready: Callable[[ObjectKey], bool] = lambda key: True,
    ) -> None:
        """`ready` says of an object whether what it needs from another source was asked for; before that it
        does not count as seen.
        """
        self._first = first
        self._ready = ready
        self._by_kind = {kind: source for source, kinds in further.items() for kind in kinds}
        self._sources = (first, *further)
        self.synced = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Combined {', '.join(map(repr, self._sources))}>"

    async def run(self) -> None:
        """Run all of them until cancelled; if one fails, so does this."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run())
            await asyncio.gather(*(source.synced.wait() for source in self._sources))
            self.synced.set()

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force, of all sources. Each source's mapping never changes, so none is copied."""
        views: list[Any] = [source.objects() for source in self._sources]
        return ChainMap(*views)

    def seen(self, key: ObjectKey) -> str | None:
        """The version last seen of an object; None if it does not exist."""
        return self._of(key).seen(key) if self._ready(key) else None

    def rejected(self, key: ObjectKey) -> Exception | None:
        """Why the version last seen is not in force."""
        return self._of(key).rejected(key)

    def subscribe(self, changed: Callable[[frozenset[ObjectKey]], None]) -> None:
        """Call `changed` after each change of any of them."""
        for source in self._sources:
            source.subscribe(changed)

    def _of(self, key: ObjectKey) -> ConfigSource:
        return self._by_kind.get(key.kind, self._first)
