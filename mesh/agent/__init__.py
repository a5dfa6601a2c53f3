"""pilot-agent: what runs beside Envoy in a Pod, and what `istio-init` runs before.

It starts in every Pod, so it stays light: the standard library and h11, nothing of the control plane.
"""
