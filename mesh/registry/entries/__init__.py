"""ServiceEntries as services: hosts outside the mesh, and workloads that the platform does not know."""

from mesh.registry.entries.registry import EntryRegistry, with_entries

__all__ = ["EntryRegistry", "with_entries"]
