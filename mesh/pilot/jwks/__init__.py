"""The public keys of issuers of tokens, fetched by Pilot so that no proxy has to reach them."""

from mesh.pilot.jwks.fetch import Unusable
from mesh.pilot.jwks.source import KINDS, JwksSource, Metrics, Pace

__all__ = ["KINDS", "JwksSource", "Metrics", "Pace", "Unusable"]
