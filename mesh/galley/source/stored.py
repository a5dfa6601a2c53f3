"""What all sources of configuration have in common: a store that they feed and others read."""

import asyncio
from collections.abc import Mapping

from mesh.api.errors import ConfigError
from mesh.galley.admission import parsed
from mesh.galley.store import Changed, ConfigStore
from mesh.model import ConfigObject, ObjectKey


class StoredSource:
    """The reading half of a `ConfigSource`; `run` and what it reads are the subclass's."""

    def __init__(self, store: ConfigStore | None = None) -> None:
        self.store = store or ConfigStore(parsed)
        self.synced = asyncio.Event()

    @property
    def _store(self) -> ConfigStore:
        return self.store

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._store!r}>"

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force."""
        return self._store.objects()

    def seen(self, key: ObjectKey) -> str | None:
        """The version last seen of an object; None if it does not exist."""
        return self._store.seen(key)

    def rejected(self, key: ObjectKey) -> ConfigError | None:
        """Why the version last seen is not in force."""
        return self._store.rejected(key)

    def subscribe(self, changed: Changed) -> None:
        """Call `changed` after each change."""
        self._store.subscribe(changed)
