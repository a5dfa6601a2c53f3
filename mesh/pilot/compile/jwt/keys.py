"""The keys that a rule's tokens are checked by: inline, or fetched by Pilot and kept in the snapshot."""

import json

from mesh.api.security import JWTRule
from mesh.model.jwks import Jwks, key_of, place_of
from mesh.pilot.jwks.keys import cleaned
from mesh.pilot.reader import Reader

MODULUS = (
    "wjL5buezmGZXrRgATT3hPyqx_MP3L890zE9yFmVAFCf1oFTJyGRHMyVQCYw9K41AR-QXl8-5GkYkcy20s-4xyIA9XCNc7hwJ"
    "eFysQTmhSGWPPoCInpC8UG5yxBsMLSROeZpQ-u_aLBte1vw2KYqEMP2Llx6bnhR-lKOON3W_jcntwkveC7r6OUosj5CeXBX1"
    "1aAnZqua3b5LY2_vjq7VMQR4PzudvVTNpAEBVEhgG3kulOzgTBY82amez7nKhTh7L34DVnhAWRYKyfm6vyc9hC6UpjUvqP_L"
    "cWbihFJjq4JMDD6xJJwNVBYzRE9BdVHEpZCDCvbbmmrYKU2yU4CwAw"
)
NOBODYS = json.dumps(
    {"keys": [{"kty": "RSA", "kid": "nobody", "e": "AQAB", "n": MODULUS}]}, separators=(",", ":")
)
"""A set with a key whose private half was thrown away: as long as an issuer's keys are unknown, no token of
it is good, while Envoy refuses a filter without keys."""


def keys(read: Reader, rule: JWTRule) -> str:
    """The keys of a rule as JSON text; nobody's if they are unknown or unusable."""
    if rule.jwks:
        return inline(rule.jwks) or NOBODYS
    found = read.object(key_of(place_of(rule.jwks_uri, rule.issuer)))
    spec = found.spec if found is not None else None
    return spec.document if isinstance(spec, Jwks) else NOBODYS


def inline(text: str) -> str | None:
    """The keys that a rule brings itself, as far as they can be used; None if none can."""
    try:
        return cleaned(json.loads(text))
    except (ValueError, RecursionError):
        return None
