"""Objects of the platform that Citadel keeps an eye on, up to date without asking."""

import asyncio
from collections.abc import Callable

from mesh.citadel.kube import Obj
from mesh.platform.reflector import Reflector

Key = tuple[str, str]
"""Namespace (empty for what belongs to none) and name."""


class Watched:
    """All objects at `path` by namespace and name; `changed` hears after each change what differs."""

    def __init__(
        self, client: object, path: str, changed: Callable[[frozenset[Key]], None], *, selector: str = ""
    ) -> None:
        self.objects: dict[Key, Obj] = {}
        self._changed = changed
        self._reflector = Reflector(
            client, path, replace=self._replace, change=self._change, selector=selector
        )

    def __repr__(self) -> str:
        return f"<Watched {self._reflector!r}: {len(self.objects)} objects>"

    @property
    def synced(self) -> asyncio.Event:
        """Set once everything that existed at the start has been read."""
        return self._reflector.synced

    async def run(self) -> None:
        """Follow the platform until cancelled."""
        await self._reflector.run()

    def get(self, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return self.objects.get((namespace, name))

    def put(self, obj: Obj) -> None:
        """Take an object that was just written for what is there, unless the platform told of a newer one."""
        present = self.objects.get(_key(obj))
        if present is None or version(present) < version(obj):
            self.objects[_key(obj)] = obj

    def _replace(self, objects: list[Obj]) -> None:
        before, self.objects = self.objects, {_key(obj): obj for obj in objects}
        self._changed(frozenset(before.keys() | self.objects.keys()))

    def _change(self, event: str, obj: Obj) -> None:
        if event == "DELETED":
            self.objects.pop(_key(obj), None)
        else:
            self.objects[_key(obj)] = obj
        self._changed(frozenset({_key(obj)}))


def version(obj: Obj) -> int:
    """Where an object stands in the order of changes (Kubernetes: a resourceVersion is a decimal number)."""
    return int(obj["metadata"]["resourceVersion"])


def _key(obj: Obj) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
