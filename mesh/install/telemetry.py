"""Istio's standard metrics as rules of Mixer: instances, the handler `prometheus`, and rules, for all calls.

Source: Istio's reference "Istio Standard Metrics" (names, labels) and the buckets of its proxies;
`request_duration_seconds` as Istio 1.4 had it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mesh.install.manifests import OWNER

Obj = dict[str, Any]

API = "config.istio.io/v1alpha2"
HANDLER = "prometheus"
BUCKETS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000,
    1_800_000, 3_600_000,
)  # fmt: skip
"""Upper bounds of milliseconds and of bytes."""

PLAIN = (42422, 15014, 9411)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def side(which: str) -> dict[str, str]:
    """The labels of one end of a call."""
    labels = f"{which}.labels"
    name = f"{labels}['service.istio.io/canonical-name'] | {labels}['app.kubernetes.io/name']"
    revision = f"{labels}['service.istio.io/canonical-revision'] | {labels}['app.kubernetes.io/version']"
    found = {
        "workload": f"{which}.workload.name | 'unknown'",
        "workload_namespace": f"{which}.workload.namespace | 'unknown'",
        "principal": f"'spiffe://' + {which}.principal | 'unknown'",
        "app": f"{labels}['app'] | 'unknown'",
        "version": f"{labels}['version'] | 'unknown'",
        "cluster": f"{which}.cluster.id | 'Kubernetes'",
        "canonical_service": f"{name} | {labels}['app'] | {which}.workload.name | 'unknown'",
        "canonical_revision": f"{revision} | {labels}['version'] | 'latest'",
    }
    return {f"{which}_{label}": text.replace("'", '"') for label, text in found.items()}


COMMON = {
    "reporter": 'conditional(context.reporter.kind == "outbound", "source", "destination")',
    **side("source"),
    **side("destination"),
    "destination_service": 'destination.service.host | request.host | "unknown"',
    "destination_service_name": 'destination.service.name | destination.service.host | "unknown"',
    "destination_service_namespace": 'destination.service.namespace | "unknown"',
    "request_protocol": 'api.protocol | context.protocol | "unknown"',
    "response_flags": 'context.proxy_error_code | "-"',
    "connection_security_policy": 'conditional(connection.mtls | false, "mutual_tls", "none")',
}
"""The labels of all metrics. Both ends say what secured a connection: each sees the other's certificate."""

HTTP = COMMON | {"response_code": "response.code | 0", "grpc_response_status": 'response.grpc_status | ""'}

REQUESTS = {
    "requestcount": "1",
    "requestduration": 'response.duration | "0ms"',
    "requestsize": "request.total_size | 0",
    "responsesize": "response.total_size | 0",
}
BYTES = {
    "tcpbytesent": "connection.sent.bytes | 0",
    "tcpbytereceived": "connection.received.bytes | 0",
}
OPENED, CLOSED = {"tcpconnectionsopened": "1"}, {"tcpconnectionsclosed": "1"}

METRICS = (
    ("requests_total", "requestcount", ()),
    ("request_duration_milliseconds", "requestduration", BUCKETS),
    ("request_duration_seconds", "requestduration", SECONDS),
    ("request_bytes", "requestsize", BUCKETS),
    ("response_bytes", "responsesize", BUCKETS),
    ("tcp_sent_bytes_total", "tcpbytesent", ()),
    ("tcp_received_bytes_total", "tcpbytereceived", ()),
    ("tcp_connections_opened_total", "tcpconnectionsopened", ()),
    ("tcp_connections_closed_total", "tcpconnectionsclosed", ()),
)  # fmt: skip

RULES = {
    "promhttp": ('context.protocol == "http" || context.protocol == "grpc"', REQUESTS),
    "promtcp": ('context.protocol == "tcp"', BYTES),
    "promtcpconnectionopen": ('context.protocol == "tcp" && (connection.event | "na") == "open"', OPENED),
    "promtcpconnectionclosed": ('context.protocol == "tcp" && (connection.event | "na") == "close"', CLOSED),
}


def telemetry_rules(namespace: str = "istio-system") -> list[Obj]:
    """The objects, in an order in which Galley admits them: a rule names what is there."""
    return [*instances(namespace), handler(namespace), *rules(namespace), plain_ports(namespace)]


def instances(namespace: str) -> Iterator[Obj]:
    """What is measured, with its labels."""
    for values, labels in ((REQUESTS, HTTP), (BYTES | OPENED | CLOSED, COMMON)):
        for name, value in values.items():
            params = {"value": value, "dimensions": dict(labels)}
            yield made("instance", name, namespace, compiledTemplate="metric", params=params)


def handler(namespace: str) -> Obj:
    """The handler that counts."""
    params = {"metrics": [metric(namespace, *each) for each in METRICS]}
    return made("handler", HANDLER, namespace, compiledAdapter="prometheus", params=params)


def metric(namespace: str, name: str, instance: str, buckets: Sequence[float]) -> Obj:
    """One metric of the handler."""
    found: Obj = {
        "name": name,
        "instance_name": f"{instance}.instance.{namespace}",
        "kind": "DISTRIBUTION" if buckets else "COUNTER",
        "label_names": list(HTTP if instance in REQUESTS else COMMON),
    }
    if buckets:
        found["buckets"] = {"explicit_buckets": {"bounds": list(buckets)}}
    return found


def rules(namespace: str) -> Iterator[Obj]:
    """Which calls are measured."""
    for name, (match, values) in RULES.items():
        actions = [{"handler": HANDLER, "instances": list(values)}]
        yield made("rule", name, namespace, match=match, actions=actions)


def plain_ports(namespace: str) -> Obj:
    """Ports of istio-telemetry that are for people and for Prometheus, and speak no TLS to sidecars either.

    Its Pods are of the mesh (proxies report to them by mutual TLS), so callers would secure every port.
    """
    name = "istio-telemetry"
    ports = [{"port": {"number": number}, "tls": {"mode": "DISABLE"}} for number in PLAIN]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(OWNER)},
        "spec": {
            "host": f"{name}.{namespace}.svc.cluster.local",
            "trafficPolicy": {"portLevelSettings": ports},
        },
    }


def made(kind: str, name: str, namespace: str, **spec: Any) -> Obj:
    """An object of Mixer's configuration."""
    metadata = {"name": name, "namespace": namespace, "labels": dict(OWNER)}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}
