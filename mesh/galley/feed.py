"""What Galley hands on: every object of every collection, prepared once for all clients."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mesh.api.kinds import Kind
from mesh.galley import wire
from mesh.galley.collections import collection, name_of
from mesh.galley.store import Obj
from mesh.model import ObjectKey

NEEDED = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels", "annotations"
)  # fmt: skip


class Entry(NamedTuple):
    """An object's version and its `Resource` in bytes."""

    version: str
    resource: bytes


class Feed:
    """The present objects by collection and name; subscribers hear of each change at once."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._collections = {kind.kind: collection(kind) for kind in kinds}
        self._entries: dict[str, dict[str, Entry]] = {name: {} for name in self._collections.values()}
        self._subscribers: set[Callable[[str, str], object]] = set()
        self.revision = 0

    def __repr__(self) -> str:
        return f"<Feed of {sum(map(len, self._entries.values()))} objects, revision {self.revision}>"

    def entries(self, collection: str) -> Mapping[str, Entry] | None:
        """The objects of a collection by name; None if there is no such collection."""
        return self._entries.get(collection)

    def take(self, key: ObjectKey, obj: Obj | None) -> None:
        """Take an object, or forget it."""
        collection = self._collections.get(key.kind)
        if collection is None:
            return
        name, self.revision = name_of(key), self.revision + 1
        if obj is None:
            self._entries[collection].pop(name, None)
        else:
            self._entries[collection][name] = entry(name, obj)
        for subscriber in tuple(self._subscribers):
            subscriber(collection, name)

    def subscribe(self, changed: Callable[[str, str], object]) -> None:
        """Call `changed` with collection and name of each change."""
        self._subscribers.add(changed)

    def unsubscribe(self, changed: Callable[[str, str], object]) -> None:
        """Call it no more."""
        self._subscribers.discard(changed)


def entry(name: str, obj: Obj) -> Entry:
    """An object as it goes over the wire, without its status and who wrote it."""
    metadata: Mapping[str, Any] = obj["metadata"]
    kept = {**obj, "metadata": {part: metadata[part] for part in NEEDED if part in metadata}}
    kept.pop("status", None)
    version = str(metadata.get("resourceVersion", ""))
    resource = wire.Resource()
    resource.metadata.name, resource.metadata.version = name, version
    resource.body.type_url = wire.BODY
    resource.body.value = wire.body(json.dumps(kept, separators=(",", ":")))
    return Entry(version, resource.SerializeToString())
