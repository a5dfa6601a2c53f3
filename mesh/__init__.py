"""Meshwright's control plane, agent and command line: Istio's classic components, re-created in Python.

Folders are components. A component imports `mesh.model` and `mesh.api` and nothing else of `mesh`;
`mesh.cli` and `mesh.install` put the components together.
"""
