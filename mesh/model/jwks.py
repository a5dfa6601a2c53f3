"""Public keys of issuers of tokens, as configuration carries them: JSON text, not looked into."""

from dataclasses import dataclass

from mesh.model.config import ObjectKey

KIND = "Jwks"


@dataclass(frozen=True, slots=True)
class Jwks:
    """A JSON Web Key Set that was fetched from where its key says."""

    document: str


def key_of(uri: str) -> ObjectKey:
    """The key of the set behind a URI."""
    return ObjectKey(KIND, "", uri)


def place_of(jwks_uri: str, issuer: str) -> str:
    """Where the keys of an issuer are found: at `jwksUri`, else where OpenID Connect Discovery says.

    Both are names only: what is found at an address of discovery is kept under that address.
    """
    return jwks_uri or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
