"""The typed configuration of the mesh: Istio's kinds as pydantic models, their errors, and CRDs.

No I/O but reading text that it is given, and nothing of Envoy.
"""
