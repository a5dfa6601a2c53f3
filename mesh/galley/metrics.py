"""Galley's metrics, with Istio's names where Istio has them, in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Counters and gauges of one Galley."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.passed = Counter(
            "galley_validation_passed", "Objects admitted", ["group", "kind"], registry=self.registry
        )
        self.failed = Counter(
            "galley_validation_failed",
            "Objects refused",
            ["group", "kind", "reason"],
            registry=self.registry,
        )
        self.unreadable = Counter(
            "galley_validation_http_error", "Questions that are none", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "galley_validation_seconds", "Seconds to answer", buckets=BUCKETS, registry=self.registry
        )
        self.clients = Gauge(
            "galley_mcp_source_clients_total", "Streams that are open", registry=self.registry
        )
        self.acks = Counter(
            "galley_mcp_source_request_acks_total", "ACKs", ["collection"], registry=self.registry
        )
        self.nacks = Counter(
            "galley_mcp_source_request_nacks_total", "NACKs", ["collection"], registry=self.registry
        )
        self.sent = Counter(
            "galley_mcp_source_resources_sent", "Resources sent", ["collection"], registry=self.registry
        )
        self.refused = Counter(
            "galley_mcp_source_refused", "Callers without a right to be served", registry=self.registry
        )
        self.status_writes = Counter(
            "galley_status_writes", "Status written, by result", ["result"], registry=self.registry
        )
