"""What a request needs: no token at all, or good ones.

Source: Istio's reference of RequestAuthentication: a request with a token that is wrong is refused, one
without is let through, and policies may ask for more. If several issuers' tokens are taken from the same
place, one issuer's good token is a wrong one for the others: so one good token is enough.
"""

from collections.abc import Sequence

from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from google.protobuf.empty_pb2 import Empty

JwtRequirement = config_pb2.JwtRequirement


def requirement(providers: Sequence[str]) -> config_pb2.JwtRequirement:
    """What is required of a request's tokens."""
    optional = [any_of([named(each), missing()]) for each in providers]
    if len(optional) == 1:
        return optional[0]
    every = JwtRequirement()
    every.requires_all.requirements.extend(optional)
    return any_of([*map(named, providers), every])


def named(provider: str) -> config_pb2.JwtRequirement:
    """A good token of a provider."""
    return JwtRequirement(provider_name=provider)


def missing() -> config_pb2.JwtRequirement:
    """No token."""
    return JwtRequirement(allow_missing=Empty())


def any_of(requirements: Sequence[config_pb2.JwtRequirement]) -> config_pb2.JwtRequirement:
    """One of them."""
    result = JwtRequirement()
    result.requires_any.requirements.extend(requirements)
    return result
