"""Snapshot and proxy in, Envoy's resources out: pure queries (see `mesh.pilot.memo`), a module a concept."""

from mesh.pilot.compile.compiler import Compiler

__all__ = ["Compiler"]
