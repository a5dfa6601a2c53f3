"""Meshwright's control plane, agent and command line: Istio's classic components, re-created in Python.

Folders are components, and what they share: `model`, `api`, `pki`, `platform`. No component imports another;
`istiod`, `cli`, `install` and two modules of `pilot` put them together. ARCHITECTURE.md has the table.
"""
