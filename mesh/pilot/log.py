"""Pilot logs as every component does."""

from mesh.log import configure

__all__ = ["configure"]
