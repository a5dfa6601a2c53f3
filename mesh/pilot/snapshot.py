"""One consistent version of the world, immutable: what registry and configuration said at one moment.

A snapshot is a set of tables (see `tables`); each look-up is a table and a key, and so is each difference to
the snapshot before. What did not change is shared with it. Nothing of Envoy is in here.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.api.meshconfig import MeshConfig
from mesh.model import ObjectKey
from mesh.model.sources import Changes
from mesh.pilot.tables import Draft, Key, Objects, Services, Tables, differing, fill

LOG_LENGTH = 64
"""How many snapshots back `changed_since` can tell."""

NO_CHANGES = Changes()

__all__ = ["Key", "Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The world as of `version`. `log` holds what the latest snapshots changed, oldest first."""

    version: int
    mesh: MeshConfig
    tables: Tables
    log: tuple[tuple[int, frozenset[Key]], ...] = field(default=(), repr=False)

    @classmethod
    def build(
        cls,
        previous: "Snapshot | None",
        registry: Services,
        config: Objects,
        mesh: MeshConfig,
        changes: Changes = NO_CHANGES,
        keys: frozenset[ObjectKey] | None = None,
    ) -> "Snapshot":
        """The snapshot of now, from the one before and what differs: `changes` of the registry, `keys` of
        the configuration (without, all objects are compared). Without a snapshot before, or with other mesh
        settings, everything is read.

        Gives back `previous` itself if nothing differs after all.
        """
        if previous is None or (previous.mesh is not mesh and previous.mesh != mesh):
            return cls._whole(previous.version + 1 if previous else 1, registry, config, mesh)
        draft = Draft(previous.tables, mesh)
        fill(draft, registry, config, changes, differing(draft, config) if keys is None else keys)
        if not draft.changed:
            return previous
        version = previous.version + 1
        log = (*previous.log[-LOG_LENGTH:], (version, frozenset(draft.changed)))
        return cls(version, mesh, draft.tables, log)

    @classmethod
    def _whole(cls, version: int, registry: Services, config: Objects, mesh: MeshConfig) -> "Snapshot":
        draft = Draft({}, mesh)
        changes = Changes(
            frozenset(registry.services()), frozenset(registry.instances()), frozenset(registry.workloads())
        )
        fill(draft, registry, config, changes, frozenset(config.objects()))
        return cls(version, mesh, draft.tables)

    def get(self, table: str, key: Hashable) -> Any:
        """What a table has for a key; None if nothing."""
        found = self.tables.get(table)
        return None if found is None else found.get(key)

    def table(self, name: str) -> Mapping[Hashable, Any]:
        """All of a table; for people and reports, since queries must say which keys they read."""
        return self.tables.get(name, {})

    def changed_since(self, version: int) -> frozenset[Key] | None:
        """Which keys changed after an earlier snapshot; None if that is too long ago to tell."""
        if version == self.version:
            return frozenset()
        newer = [changed for each, changed in self.log if each > version]
        if len(newer) != self.version - version:
            return None
        return frozenset().union(*newer)
