"""What Namespaces say of checks by Mixer, for Pilot: annotations or labels `policy.istio.io/...`.

Only Namespaces that say anything are kept, so that the others' changes are nobody's business.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from mesh.galley.source.stored import StoredSource
from mesh.galley.store import ConfigStore, key_of
from mesh.model import ConfigObject
from mesh.platform.reflector import Obj, Reflector

KINDS = frozenset({"Namespace"})
"""Kinds of object that this source brings."""

PREFIX = "policy.istio.io/"
PATH = "/api/v1/namespaces"


class NamespaceSource(StoredSource):
    """A `ConfigSource` of Namespaces, with the annotations that count and no spec."""

    def __init__(self, client: Any) -> None:
        super().__init__(ConfigStore(parse))
        self._reflector = Reflector(client, PATH, replace=self._replace, change=self._change)

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run())
            await self._reflector.synced.wait()
            self.synced.set()

    def _replace(self, objects: list[Obj]) -> None:
        self._store.replace("Namespace", [each for each in objects if said(each)])

    def _change(self, event: str, obj: Obj) -> None:
        if event == "DELETED" or not said(obj):
            self._store.remove(key_of(obj))
        else:
            self._store.put(obj)


def said(obj: Mapping[str, Any]) -> dict[str, str]:
    """What a Namespace says of checks; an annotation counts more than a label."""
    metadata = obj["metadata"]
    given = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return {name: str(value) for name, value in given.items() if name.startswith(PREFIX)}


def parse(obj: Mapping[str, Any]) -> ConfigObject:
    """A Namespace as an object of configuration."""
    metadata = obj["metadata"]
    return ConfigObject(
        key_of(obj), "", "v1", None,
        resource_version=metadata.get("resourceVersion", ""),
        uid=metadata.get("uid", ""),
        annotations=said(obj),
    )  # fmt: skip
