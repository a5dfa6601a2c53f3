"""What is accepted as Istio has it, but not acted on by this mesh: one table, so that a warning can say it.

When a field or kind comes into use, its line goes.
"""

from collections.abc import Mapping

from mesh.api.mixer.kinds import UNSERVED

NOT_YET = "is accepted, but this mesh does not act on it yet"
OLDER = "is the older form, of which nothing comes; allowOrigins is used"

UNUSED_KINDS: Mapping[str, str] = dict.fromkeys(
    ("Sidecar", "EnvoyFilter", "ProxyConfig", "WorkloadGroup", *sorted(UNSERVED)), NOT_YET
)
"""Kinds of which no part is used, with what people are told."""

UNUSED_FIELDS: Mapping[str, Mapping[str, str]] = {
    "HTTPRoute": {"delegate": NOT_YET},
    "CorsPolicy": {"allow_origin": OLDER},
    "Abort": {"http2_error": NOT_YET},
    "TrafficPolicy": {"tunnel": NOT_YET, "proxy_protocol": NOT_YET, "retry_budget": NOT_YET},
    "LocalityLbSetting": {"failover_priority": NOT_YET},
    "Server": {"default_endpoint": NOT_YET},
    "ServerPort": {"target_port": "is accepted, but has no meaning any more: the Service's port maps it"},
    "Instance": {"attribute_bindings": "is accepted, but has no meaning here: no adapter makes attributes"},
    "IstioService": {"labels": "is accepted, but has no meaning: services are bound by their names"},
    "ServerTLSSettings": {"tls_certificates": NOT_YET, "ca_cert_credential_name": NOT_YET},
}
"""Fields by the name of their message and their attribute."""
