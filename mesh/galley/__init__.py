"""Galley: configuration. Sources read it, the store keeps the last good version of each object."""

from mesh.galley.store import ConfigStore

__all__ = ["ConfigStore"]
