"""RequestAuthentication: which tokens (JWT) callers may show, and whose keys prove them.

Source: Istio's reference of security.istio.io/v1 RequestAuthentication and JWTRule; named as there.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mesh.api.base import HeaderName, Model, PositiveDuration
from mesh.api.checks import Fault, advise, check
from mesh.api.selector import PolicyTargetReference, WorkloadSelector

KEY_PARTS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "oct": ("k",), "OKP": ("crv", "x")}


class JWTHeader(Model):
    """A header that carries the token, after a prefix (`Bearer `)."""

    name: HeaderName
    prefix: str = ""

    @check
    def _prefix(self) -> Iterator[Fault]:
        # No header holds these (RFC 9110, 5.5), and Envoy refuses the whole listener.
        if set(self.prefix) & set("\0\r\n"):
            yield Fault("prefix", f"{self.prefix!r} is in no header", "write it without line ends and NUL")


class ClaimToHeader(Model):
    """A claim of a good token that becomes a header of the request."""

    header: HeaderName
    claim: str

    @check
    def _claim(self) -> Iterator[Fault]:
        if not self.claim:
            yield Fault("claim", "is empty", "name the claim")


class JWTRule(Model):
    """Tokens of one issuer: how they are checked, where they are found, what becomes of them."""

    issuer: str
    audiences: tuple[str, ...] = ()
    jwks_uri: str = ""
    jwks: str = ""
    from_headers: tuple[JWTHeader, ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    output_payload_to_header: str = ""
    forward_original_token: bool = False
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    timeout: PositiveDuration | None = None
    space_delimited_claims: tuple[str, ...] = ()

    @check
    def _issuer(self) -> Iterator[Fault]:
        if not self.issuer:
            yield Fault("issuer", "is empty", "write the 'iss' of the tokens")

    @check
    def _keys(self) -> Iterator[Fault]:
        if self.jwks and self.jwks_uri:
            yield Fault("", "only one of jwks, jwksUri may be set")
        if self.jwks_uri and not is_url(self.jwks_uri):
            yield Fault("jwksUri", f"{self.jwks_uri!r} is not a URL", "write http://... or https://...")
        if self.jwks:
            yield from (Fault("jwks", *each) for each in bad_keys(self.jwks))

    @check
    def _names(self) -> Iterator[Fault]:
        for field in ("audiences", "from_params", "from_cookies", "space_delimited_claims"):
            alias = type(self).model_fields[field].alias
            for index, value in enumerate(getattr(self, field)):
                if not value:
                    yield Fault(f"{alias}[{index}]", "is empty", "leave it out, or write a name")

    @advise
    def _discovery(self) -> Iterator[Fault]:
        if not self.jwks and not self.jwks_uri and not is_url(self.issuer):
            remedy = "set jwks or jwksUri, or no token of this issuer is accepted"
            yield Fault("issuer", f"no keys, and {self.issuer!r} is not a URL where to discover them", remedy)

    @advise
    def _plain(self) -> Iterator[Fault]:
        if self.jwks_uri.startswith("http://"):
            yield Fault("jwksUri", "keys are fetched without TLS", "use https, unless it is inside the mesh")


class RequestAuthentication(Model):
    """The tokens that are known; a wrong one is refused, a missing one passes until a policy asks for it."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    jwt_rules: tuple[JWTRule, ...] = ()

    @check
    def _one(self) -> Iterator[Fault]:
        yield from one_target(self)

    @advise
    def _issuers(self) -> Iterator[Fault]:
        issuers = [rule.issuer for rule in self.jwt_rules]
        for index, issuer in enumerate(issuers):
            if issuer in issuers[:index]:
                yield Fault(f"jwtRules[{index}].issuer", f"{issuer!r} stands in a rule above as well")


def one_target(policy: Any) -> Iterator[Fault]:
    """A policy is attached in one way only."""
    names = {"selector": policy.selector, "targetRef": policy.target_ref, "targetRefs": policy.target_refs}
    given = [name for name, value in names.items() if value]
    if len(given) > 1:
        yield Fault("", f"only one of selector, targetRef, targetRefs may be set, not {', '.join(given)}")


def is_url(text: str) -> bool:
    """Whether a text is an address that can be fetched."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def bad_keys(text: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a JSON Web Key Set (RFC 7517), each with a remedy."""
    remedy = 'write {"keys": [...]} as JSON'
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"is not JSON: {error}", remedy
        return
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not keys:
        yield "has no keys", remedy
        return
    for index, key in enumerate(keys):
        yield from ((f"keys[{index}] {words}", "see RFC 7517") for words in bad_key(key))


def bad_key(key: Any) -> Iterator[str]:
    """What is wrong with one key of a set."""
    if not isinstance(key, dict):
        yield f"is {str(key)[:40]!r}, not a key"
    elif key.get("kty") not in KEY_PARTS:
        yield f"has kty {key.get('kty')!r}, not one of {', '.join(KEY_PARTS)}"
    else:
        lacking = [name for name in KEY_PARTS[key["kty"]] if not isinstance(key.get(name), str)]
        if lacking:
            yield f"lacks {', '.join(lacking)}"
