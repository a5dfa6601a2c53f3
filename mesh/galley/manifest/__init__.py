"""Checks of manifests before they are applied: the mesh's configuration, and plain Kubernetes objects."""

from mesh.galley.manifest.check import Finding, check_text, check_texts

__all__ = ["Finding", "check_text", "check_texts"]
