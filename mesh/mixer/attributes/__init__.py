"""Attributes: what Mixer knows of a call, from Envoy's messages, peers' identities and the registry."""
