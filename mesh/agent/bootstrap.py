"""Envoy's bootstrap: what it must know before Pilot tells it the rest. Pure: values in, JSON out."""

import json
from pathlib import Path
from typing import Any

from mesh.agent import tls
from mesh.agent.environment import Pod, ProxySettings
from mesh.version import __version__

READY_PORT = 15021
PROMETHEUS_PORT = 15090
LOCAL = "127.0.0.1"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
# Envoy refuses regular expressions of more than 100 instructions by default; rules of users have longer ones.
LIMITS = {"re2.max_program_size.error_level": 32768}
# Spans go after a second, or when there are a hundred; Envoy's own are 5 s and 5 spans.
SPANS = {
    f"tracing.{tracer}.{name}": value
    for tracer in ("zipkin", "opentelemetry")
    for name, value in (("flush_interval_ms", 1000), ("min_flush_spans", 100))
}
# Soon again when Pilot is away: its return is noticed within seconds. Envoy adds jitter.
BACK_OFF = {"base_interval": "0.1s", "max_interval": "2s"}
# No limit but the machine's; said aloud, or Envoy warns that nobody said anything.
CONNECTIONS = {
    "name": "envoy.resource_monitors.global_downstream_max_connections",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
        ".DownstreamConnectionsConfig",
        "max_active_downstream_connections": 2**31 - 1,
    },
}


def bootstrap(kind: str, pod: Pod, settings: ProxySettings, socket: Path | None = None) -> dict[str, Any]:
    """The bootstrap of a `sidecar` or `router`, as the JSON form of Envoy's `Bootstrap` message.

    `socket` is where the agent serves secrets; there is none only where Pilot is spoken to without TLS.
    """
    return {
        "node": node(kind, pod, settings),
        "admin": {"address": address(LOCAL, settings.admin_port), "profile_path": "/dev/null"},
        "dynamic_resources": dynamic(settings),
        "static_resources": {
            "clusters": [
                *([tls.sds_cluster(socket)] if socket else []),
                xds_cluster(settings, secure=socket is not None),
                local_cluster("agent", settings.status_port),
                local_cluster("prometheus_stats", settings.admin_port),
            ],
            "listeners": [
                listener(READY_PORT, "/healthz/ready", "agent"),
                listener(PROMETHEUS_PORT, "/stats/prometheus", "prometheus_stats"),
            ],
        },
        "layered_runtime": {
            "layers": [
                {"name": "limits", "static_layer": {**LIMITS, **SPANS}},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {"resource_monitors": [CONNECTIONS]},
        "default_regex_engine": {
            "name": "envoy.regex_engines.google_re2",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2"},
        },
    }


def node(kind: str, pod: Pod, settings: ProxySettings) -> dict[str, Any]:
    """Envoy's node: the id `kind~address~name.namespace~domain` and the metadata that Pilot reads."""
    app = pod.labels.get("app") or pod.labels.get("app.kubernetes.io/name") or pod.name
    metadata = {
        "NAME": pod.name,
        "NAMESPACE": pod.namespace,
        "SERVICE_ACCOUNT": pod.service_account,
        "INSTANCE_IPS": pod.address,
        "LABELS": dict(pod.labels),
        "ANNOTATIONS": {k: v for k, v in pod.annotations.items() if "istio.io/" in k},
        "ISTIO_VERSION": __version__,
        "STATUS_PORT": settings.status_port,
        **pod.metadata,
    }
    domain = f"{pod.namespace}.svc.cluster.local"
    return {
        "id": f"{kind}~{pod.address}~{pod.name}.{pod.namespace}~{domain}",
        "cluster": f"{app}.{pod.namespace}",
        "metadata": metadata,
    }


def dynamic(settings: ProxySettings) -> dict[str, Any]:
    """Everything else comes over one aggregated stream; Envoy is not live before it has heard from Pilot."""
    source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC" if settings.delta else "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [
                {"envoy_grpc": {"cluster_name": "xds-grpc", "retry_policy": {"retry_back_off": BACK_OFF}}}
            ],
        },
        "cds_config": source,
        "lds_config": source,
    }


def xds_cluster(settings: ProxySettings, *, secure: bool) -> dict[str, Any]:
    """The way to Pilot. Keepalives find out that it is gone; the last configuration stays in force."""
    host, _, port = settings.discovery_address.rpartition(":")
    return {
        "name": "xds-grpc",
        "cluster_type": {
            "name": "envoy.clusters.dns",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
                "dns_lookup_family": "V4_ONLY",
                "respect_dns_ttl": True,
                "dns_refresh_rate": "5s",
                "dns_failure_refresh_rate": BACK_OFF,
            },
        },
        "connect_timeout": "1s",
        "load_assignment": assignment("xds-grpc", host, int(port)),
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
        "typed_extension_protocol_options": tls.http2({"interval": "10s", "timeout": "5s"}),
        **({"transport_socket": tls.transport_socket(settings.pilot_name)} if secure else {}),
    }


def local_cluster(name: str, port: int) -> dict[str, Any]:
    """A port of this Pod."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": assignment(name, LOCAL, port),
    }


def assignment(name: str, host: str, port: int) -> dict[str, Any]:
    """A cluster's one endpoint."""
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, port)}}]}],
    }


def listener(port: int, path: str, cluster: str) -> dict[str, Any]:
    """A listener of the Pod that answers one path, for kubelets and scrapers."""
    manager = {
        "@type": _HCM,
        "stat_prefix": cluster,
        "http_filters": [_ROUTER],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [{"match": {"path": path}, "route": {"cluster": cluster}}],
                }
            ]
        },
    }
    return {
        "name": f"own_{port}",
        "address": address("0.0.0.0", port),
        "bypass_overload_manager": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def address(host: str, port: int) -> dict[str, Any]:
    """Envoy's `Address`."""
    return {"socket_address": {"address": host, "port_value": port}}


def to_json(value: dict[str, Any]) -> str:
    """The file's text, for people too."""
    return json.dumps(value, indent=2) + "\n"
