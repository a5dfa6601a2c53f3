"""Mixer: istio-policy answers checks, istio-telemetry takes reports; both by rules that operators write."""
