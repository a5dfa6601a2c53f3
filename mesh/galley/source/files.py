"""Configuration from YAML files: for tests, and for a Pilot without a platform."""

import asyncio
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from mesh.api.errors import ConfigError
from mesh.api.load import documents, placed
from mesh.api.parse import metadata_of
from mesh.galley.source.stored import StoredSource
from mesh.galley.store import key_of
from mesh.model import ObjectKey

POLL = 0.2


class FileSource(StoredSource):
    """A `ConfigSource` over files and folders of YAML; changed files are read again.

    A file that is no YAML is refused as a whole with its reason in `problems`, and what it held stays.
    """

    def __init__(self, paths: Iterable[Path], *, namespace: str = "default") -> None:
        super().__init__()
        self._paths = tuple(paths)
        self._namespace = namespace
        self._versions = count(1)
        self._stamps: dict[Path, int] = {}
        self._keys: dict[Path, frozenset[ObjectKey]] = {}
        self.problems: dict[Path, ConfigError] = {}

    async def run(self) -> None:
        """Read the files, and again what changes, until cancelled."""
        while True:
            self.read()
            self.synced.set()
            await asyncio.sleep(POLL)

    def read(self) -> None:
        """Read what has changed since the last time."""
        stamps = {path: stamp for path in self._files() if (stamp := changed_at(path)) is not None}
        for path in [*self._stamps.keys() - stamps.keys()]:
            self._forget(path, frozenset())
        for path, stamp in stamps.items():
            if self._stamps.get(path) != stamp:
                self._read(path)
        self._stamps = dict(stamps)

    def _files(self) -> list[Path]:
        files = [path for path in self._paths if path.is_file()]
        return sorted(
            files + [each for path in self._paths if path.is_dir() for each in path.rglob("*.yaml")]
        )

    def _read(self, path: Path) -> None:
        try:
            objects = [placed(obj, self._namespace) for obj, _ in documents(path.read_text(), str(path))]
            for obj in objects:
                metadata_of(obj, str(path))
        except ConfigError as error:
            self.problems[path] = error
            return
        self.problems.pop(path, None)
        version = str(next(self._versions))
        for obj in objects:
            self._store.put({**obj, "metadata": {**obj["metadata"], "resourceVersion": version}})
        self._forget(path, frozenset(key_of(obj) for obj in objects))

    def _forget(self, path: Path, kept: frozenset[ObjectKey]) -> None:
        for key in self._keys.get(path, frozenset()) - kept:
            self._store.remove(key)
        self._keys[path] = kept


def changed_at(path: Path) -> int | None:
    """When a file was changed, in nanoseconds; None if it is gone by now."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
