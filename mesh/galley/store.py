"""The store of configuration: what is in force, what was refused and why.

An object that is wrong never takes the place of a good one. Subscribers hear only of what is in force.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from mesh.api.errors import ConfigError
from mesh.api.parse import parse_object
from mesh.model import ConfigObject, ObjectKey

Obj = Mapping[str, Any]
Changed = Callable[[frozenset[ObjectKey]], None]


class ConfigStore:
    """Typed configuration by key. All changes come through `put`, `remove` and `replace`."""

    def __init__(self, parse: Callable[[Obj], ConfigObject] = parse_object) -> None:
        """`parse` makes an object's typed form, or raises `ConfigError`."""
        self._parse = parse
        self._objects: dict[ObjectKey, ConfigObject] = {}
        self._view: Mapping[ObjectKey, ConfigObject] = MappingProxyType({})
        self._seen: dict[ObjectKey, str] = {}
        self._rejected: dict[ObjectKey, ConfigError] = {}
        self._subscribers: list[Changed] = []

    def __repr__(self) -> str:
        return f"<ConfigStore of {len(self._objects)} objects, {len(self._rejected)} rejected>"

    def objects(self) -> Mapping[ObjectKey, ConfigObject]:
        """All objects in force; the mapping never changes, the next call may give another."""
        return self._view

    def seen(self, key: ObjectKey) -> str | None:
        """The resourceVersion last seen of an object, good or not; None if it does not exist."""
        return self._seen.get(key)

    def rejected(self, key: ObjectKey) -> ConfigError | None:
        """Why the version last seen is not in force; None if it is."""
        return self._rejected.get(key)

    def subscribe(self, changed: Changed) -> None:
        """Call `changed` after each change, with the keys of what was seen to differ."""
        self._subscribers.append(changed)

    def put(self, obj: Obj) -> None:
        """Take a new version of an object."""
        self._tell(self._put(obj))

    def remove(self, key: ObjectKey) -> None:
        """Forget an object."""
        self._tell(self._remove(key))

    def replace(self, kind: str, objects: Iterable[Obj]) -> None:
        """Make `objects` all that there is of a kind."""
        given = {key_of(obj): obj for obj in objects}
        gone = [key for key in self._seen if key.kind == kind and key not in given]
        changes = [*map(self._remove, gone), *map(self._put, given.values())]
        self._tell(key for keys in changes for key in keys)

    def _put(self, obj: Obj) -> list[ObjectKey]:
        key, version = key_of(obj), obj["metadata"].get("resourceVersion", "")
        if version and self._seen.get(key) == version:
            return []
        before = self._objects.get(key)
        self._seen[key] = version
        self._rejected.pop(key, None)
        try:
            parsed = self._parse(obj)
        except ConfigError as error:
            self._rejected[key] = error
            return [key]
        # Only the status or a note changed: the value in force stays, and nothing is compiled again.
        if before is None or _meaning(before) != _meaning(parsed):
            self._objects[key] = parsed
        return [key]

    def _remove(self, key: ObjectKey) -> list[ObjectKey]:
        self._rejected.pop(key, None)
        self._objects.pop(key, None)
        return [key] if self._seen.pop(key, None) is not None else []

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
