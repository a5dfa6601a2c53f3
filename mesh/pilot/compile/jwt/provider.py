"""One JWTRule as Envoy's provider of tokens.

Source: Istio's reference of JWTRule.
"""

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2

from mesh.api.base import header_name
from mesh.api.security import JWTRule
from mesh.pilot.compile.authz.attributes import PAYLOAD

JwtProvider = config_pb2.JwtProvider

SPACE_DELIMITED = ("permission", "scope")
"""Claims that are lists written as one text (RFC 8693): policies see them as lists."""


def provider(rule: JWTRule, keys: str, *, clear_route_cache: bool) -> config_pb2.JwtProvider:
    """The provider; at gateways routes may depend on claims, so they are looked up again."""
    result = JwtProvider(
        issuer=rule.issuer,
        audiences=rule.audiences,
        forward=rule.forward_original_token,
        payload_in_metadata=PAYLOAD,
        from_params=rule.from_params,
        from_cookies=rule.from_cookies,
        local_jwks=base_pb2.DataSource(inline_string=keys),
        clear_route_cache=clear_route_cache,
    )
    delimited = sorted({*SPACE_DELIMITED, *rule.space_delimited_claims})
    result.normalize_payload_in_metadata.space_delimited_claims.extend(delimited)
    if rule.output_payload_to_header and is_header(rule.output_payload_to_header):
        result.forward_payload_header = rule.output_payload_to_header
    for place in rule.from_headers:
        result.from_headers.add(name=place.name, value_prefix=place.prefix)
    for each in rule.output_claim_to_headers:
        result.claim_to_headers.add(header_name=each.header, claim_name=each.claim)
    return result


def is_header(name: str) -> bool:
    """Whether it is a name of a header: Envoy refuses a filter with any other."""
    try:
        header_name(name)
    except ValueError:
        return False
    return True
