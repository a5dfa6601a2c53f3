"""Configuration from the Kubernetes API: kinds of `mesh.api.kinds`, listed and watched."""

import asyncio
from collections.abc import Iterable
from typing import Any

from mesh.api.kinds import WATCHED, Kind
from mesh.galley.source.stored import StoredSource
from mesh.galley.store import key_of
from mesh.platform.reflector import Obj, Reflector


class KubernetesSource(StoredSource):
    """A `ConfigSource` over a `kubernetes.aio` client."""

    def __init__(self, client: Any, kinds: Iterable[Kind] = WATCHED) -> None:
        super().__init__()
        self._client = client
        self._kinds = tuple(kinds)

    async def run(self) -> None:
        """List and watch the kinds until cancelled."""
        reflectors = [self._reflector(kind) for kind in self._kinds]
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            for reflector in reflectors:
                await reflector.synced.wait()
            self.synced.set()

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
