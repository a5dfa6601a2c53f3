"""Issuers whose keys are not to be had, so that all of their tokens are refused."""

from collections.abc import Iterator

from mesh.model import ConfigObject
from mesh.model.jwks import key_of, place_of
from mesh.pilot import tables
from mesh.pilot.compile.jwt.keys import inline
from mesh.pilot.snapshot import Snapshot

Doubt = tuple[str, str, str]


def of_policy(snapshot: Snapshot, policy: ConfigObject) -> Iterator[Doubt]:
    """All doubts about a RequestAuthentication: path, message, remedy."""
    for number, rule in enumerate(policy.spec.jwt_rules):
        path = f"spec.jwtRules[{number}]"
        place = place_of(rule.jwks_uri, rule.issuer)
        if rule.jwks and inline(rule.jwks) is None:
            message = f"none of the keys of {rule.issuer!r} can be used: all of its tokens are refused"
            yield f"{path}.jwks", message, "write a JSON Web Key Set with an RSA, EC, OKP or oct key"
        elif not rule.jwks and snapshot.get(tables.OBJECT, key_of(place)) is None:
            message = f"no keys of {rule.issuer!r} came from {place} yet: all of its tokens are refused"
            yield path, message, "make it reachable for Pilot (its log says why it is not), or set jwks"
