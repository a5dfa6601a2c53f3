"""pilot-agent: what runs beside Envoy in a Pod, and what `istio-init` runs before.

It starts in every Pod, so it stays light: the standard library and h11; for the Pod's identity (`identity`)
gRPC and `cryptography` too, imported only there. Of the rest of the mesh it uses `mesh.pki` alone.
"""
