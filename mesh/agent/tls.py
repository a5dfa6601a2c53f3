"""The bootstrap's parts about identity: secrets over the agent's socket, mutual TLS with Pilot."""

from pathlib import Path
from typing import Any

SDS = "sds-grpc"
DEFAULT = "default"
ROOTCA = "ROOTCA"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_UPSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def sds_cluster(socket: Path) -> dict[str, Any]:
    """The way to the agent's secrets."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": SDS,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": SDS, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": http2(),
    }


def transport_socket(pilot_name: str) -> dict[str, Any]:
    """Mutual TLS with Pilot: the Pod's certificate, the mesh's roots as the agent knows them, Pilot's name.

    The roots cannot come from Pilot itself over the very connection that they are needed for.
    """
    name = {"san_type": "DNS", "matcher": {"exact": pilot_name}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _UPSTREAM_TLS,
            "sni": pilot_name,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [secret(DEFAULT)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": [name]},
                    "validation_context_sds_secret_config": secret(ROOTCA),
                },
            },
        },
    }


def secret(name: str) -> dict[str, Any]:
    """A secret of the agent; waited for as long as it takes, since without it nothing can be done.

    Written as Pilot's resources write it: Envoy then asks for the secret once for all that use it.
    """
    return {
        "name": name,
        "sds_config": {
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": SDS}}],
            },
            "initial_fetch_timeout": "0s",
            "resource_api_version": "V3",
        },
    }


def http2(keepalive: dict[str, str] | None = None) -> dict[str, Any]:
    """A cluster's HTTP/2, as gRPC needs it.

    Each stream gets a connection of its own. Otherwise Envoy, refused by Pilot because its certificate was
    revoked or its root withdrawn, would come again over the connection made with that certificate, for ever.
    """
    options = {"connection_keepalive": keepalive} if keepalive else {}
    return {
        _HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
            "common_http_protocol_options": {"max_requests_per_connection": 1},
            "explicit_http_config": {"http2_protocol_options": options},
        }
    }
