"""The store of configuration: what is in force, what was refused and why.

An object that is wrong never takes the place of a good one. Subscribers hear only of what is in force.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from mesh.api.errors import ConfigError
from mesh.api.parse import parse_object
from mesh.model import ConfigObject, ObjectKey

Obj = Mapping[str, Any]
Changed = Callable[[frozenset[ObjectKey]], None]
Raw = Callable[[ObjectKey, Obj | None], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last seen of an object, good or not.

    `since` is the version that had this content first, as far as was seen: later ones differ in status only.
    """

    version: str
    generation: int
    uid: str
    status: Mapping[str, Any]
    outside: tuple[Any, ...] = field(repr=False)
    since: str = ""

    @classmethod
    def of(cls, obj: Obj) -> "Seen":
        """Of a Kubernetes object."""
        metadata = obj["metadata"]
        generation = metadata.get("generation") or 0
        return cls(
            metadata.get("resourceVersion", ""),
            generation,
            metadata.get("uid", ""),
            obj.get("status") or {},
            (obj.get("apiVersion"), generation, metadata.get("labels"), metadata.get("annotations")),
            metadata.get("resourceVersion", ""),
        )

    def differs_in_status_only(self, before: "Seen | None") -> bool:
        """Whether nothing but the status differs; where there are no generations, nobody can tell."""
        if before is None or not self.generation:
            return False
        return (self.uid, self.outside) == (before.uid, before.outside)


class ConfigStore:
    """Typed configuration by key. All changes come through `put`, `remove`, `update` and `replace`."""

    def __init__(self, parse: Callable[[Obj], ConfigObject] = parse_object) -> None:
        """`parse` makes an object's typed form, or raises `ConfigError`."""
        self._parse = parse
        self._objects: dict[ObjectKey, ConfigObject] = {}
        self._view: Mapping[ObjectKey, ConfigObject] = MappingProxyType({})
        self._seen: dict[ObjectKey, Seen] = {}
        self._rejected: dict[ObjectKey, ConfigError] = {}
        self._subscribers: list[Changed] = []
        self._listeners: list[Raw] = []

    def __repr__(self) -> str:
        return f"<ConfigStore of {len(self._objects)} objects, {len(self._rejected)} rejected>"

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force; the mapping never changes, the next call may give another."""
        return self._view

    def seen(self, key: ObjectKey) -> str | None:
        """The resourceVersion last seen of an object, good or not; None if it does not exist."""
        found = self._seen.get(key)
        return found.version if found else None

    def last(self, key: ObjectKey) -> Seen | None:
        """What was last seen of an object, good or not; None if it does not exist."""
        return self._seen.get(key)

    def present(self) -> frozenset[ObjectKey]:
        """All objects that there are, good or not."""
        return frozenset(self._seen)

    def rejected(self, key: ObjectKey) -> ConfigError | None:
        """Why the version last seen is not in force; None if it is."""
        return self._rejected.get(key)

    def subscribe(self, changed: Changed) -> None:
        """Call `changed` after each change, with the keys of what was seen to differ."""
        self._subscribers.append(changed)

    def listen(self, raw: Raw) -> None:
        """Call `raw` with each object as it comes, and with None when it goes."""
        self._listeners.append(raw)

    def put(self, obj: Obj) -> None:
        """Take a new version of an object."""
        self._tell(self._put(obj))

    def remove(self, key: ObjectKey) -> None:
        """Forget an object."""
        self._tell(self._remove(key))

    def update(self, changed: Iterable[Obj], removed: Iterable[ObjectKey]) -> None:
        """Take and forget several at once; subscribers hear of them together."""
        changes = [*map(self._remove, removed), *map(self._put, changed)]
        self._tell(key for keys in changes for key in keys)

    def replace(self, kind: str, objects: Iterable[Obj]) -> None:
        """Make `objects` all that there is of a kind."""
        given = {key_of(obj): obj for obj in objects}
        self.update(given.values(), [key for key in self._seen if key.kind == kind and key not in given])

    def _put(self, obj: Obj) -> list[ObjectKey]:
        key, seen, last = key_of(obj), Seen.of(obj), self._seen.get(key_of(obj))
        if seen.version and last and last.version == seen.version:
            return []
        same = seen.differs_in_status_only(last)
        self._seen[key] = replace(seen, since=last.since) if same and last else seen
        for listener in self._listeners:
            listener(key, obj)
        if not same:
            self._take(key, obj)
        return [key]

    def _take(self, key: ObjectKey, obj: Obj) -> None:
        before = self._objects.get(key)
        self._rejected.pop(key, None)
        try:
            parsed = self._parse(obj)
        except ConfigError as error:
            self._rejected[key] = error
            return
        # Only a note changed, or what it says is the same: the value in force stays, nothing is compiled.
        if before is None or _meaning(before) != _meaning(parsed):
            self._objects[key] = parsed

    def _remove(self, key: ObjectKey) -> list[ObjectKey]:
        self._rejected.pop(key, None)
        self._objects.pop(key, None)
        if self._seen.pop(key, None) is None:
            return []
        for listener in self._listeners:
            listener(key, None)
        return [key]

    def _tell(self, changed: Iterable[ObjectKey]) -> None:
        keys = frozenset(changed)
        if keys:
            self._view = MappingProxyType(dict(self._objects))
            for subscriber in self._subscribers:
                subscriber(keys)


def _meaning(obj: ConfigObject) -> tuple[Any, ...]:
    return obj.spec, obj.labels, obj.annotations, obj.uid


def key_of(obj: Obj) -> ObjectKey:
    """The key of a Kubernetes object."""
    metadata = obj["metadata"]
    return ObjectKey(obj.get("kind", ""), metadata.get("namespace", ""), metadata["name"])
