"""Configuration from the Kubernetes API: every kind of `mesh.api.kinds`, listed and watched."""

import asyncio
from collections.abc import Mapping
from typing import Any

from mesh.api.errors import ConfigError
from mesh.api.kinds import KINDS, Kind
from mesh.galley.store import Changed, ConfigStore, key_of
from mesh.model import ConfigObject, ObjectKey
from mesh.platform.reflector import Obj, Reflector


class KubernetesSource:
    """A `ConfigSource` over a `kubernetes.aio` client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._store = ConfigStore()
        self.synced = asyncio.Event()

    def __repr__(self) -> str:
        return f"<KubernetesSource {self._store!r}>"

    async def run(self) -> None:
        """List and watch all kinds until cancelled."""
        reflectors = [self._reflector(kind) for kind in KINDS]
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            for reflector in reflectors:
                await reflector.synced.wait()
            self.synced.set()

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force."""
        return self._store.objects()

    def seen(self, key: ObjectKey) -> str | None:
        """The resourceVersion last seen of an object; None if it does not exist."""
        return self._store.seen(key)

    def rejected(self, key: ObjectKey) -> ConfigError | None:
        """Why the version last seen is not in force."""
        return self._store.rejected(key)

    def subscribe(self, changed: Changed) -> None:
        """Call `changed` after each change."""
        self._store.subscribe(changed)

    def _reflector(self, kind: Kind) -> Reflector:
        def replace(objects: list[Obj]) -> None:
            self._store.replace(kind.kind, objects)

        path = f"/apis/{kind.group}/{kind.versions[0]}/{kind.plural}"
        return Reflector(self._client, path, replace=replace, change=self._change)

    def _change(self, event: str, obj: Obj) -> None:
        if event == "DELETED":
            self._store.remove(key_of(obj))
        else:
            self._store.put(obj)
