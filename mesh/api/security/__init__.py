"""security.istio.io: who may call whom, and how they prove who they are."""

from mesh.api.security.authorization_policy import (
    AuthorizationPolicy,
    AuthorizationRule,
    Condition,
    Operation,
    Source,
)
from mesh.api.security.peer_authentication import MutualTLS, PeerAuthentication
from mesh.api.security.request_authentication import JWTHeader, JWTRule, RequestAuthentication

__all__ = [
    "AuthorizationPolicy",
    "AuthorizationRule",
    "Condition",
    "JWTHeader",
    "JWTRule",
    "MutualTLS",
    "Operation",
    "PeerAuthentication",
    "RequestAuthentication",
    "Source",
]
