"""Citadel's metrics, with Istio's names where Istio has them, in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REASONS = (
    "malformed", "weak_key", "bad_signature", "foreign_identity", "unauthenticated", "wrong_audience",
    "revoked", "denied", "unknown_account", "rate_limited", "ca_not_ready",
)  # fmt: skip
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """Counters and gauges of one Citadel."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("citadel_server_csr_count", "CSRs received", registry=self.registry)
        self.issued = Counter(
            "citadel_server_success_cert_issuance_count",
            "Certificates issued to callers",
            registry=self.registry,
        )
        self.refused = Counter(
            "citadel_server_refused_count", "CSRs refused, by reason", ["reason"], registry=self.registry
        )
        self.unauthenticated = Counter(
            "citadel_server_authentication_failure_count", "CSRs of unknown callers", registry=self.registry
        )
        self.malformed = Counter(
            "citadel_server_csr_parsing_err_count", "CSRs that could not be read", registry=self.registry
        )
        self.faults = Counter(
            "citadel_server_internal_error_count", "Faults of Citadel itself", registry=self.registry
        )
        self.duration = Histogram(
            "citadel_server_csr_seconds", "Seconds to answer a CSR", buckets=BUCKETS, registry=self.registry
        )
        self.root_ends = Gauge(
            "citadel_server_root_cert_expiry_timestamp",
            "When the root expires (Unix)",
            registry=self.registry,
        )
        self.issuer_ends = Gauge(
            "citadel_server_cert_chain_expiry_timestamp",
            "When the issuer expires (Unix)",
            registry=self.registry,
        )
        self.live = Gauge("citadel_certificates", "Certificates that are valid now", registry=self.registry)
        self.revoked = Gauge("citadel_revoked_certificates", "Certificates revoked", registry=self.registry)
        self.secrets = Counter(
            "citadel_secret_controller_csr_sign_count", "Classic Secrets written", registry=self.registry
        )
        for reason in REASONS:
            self.refused.labels(reason)

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self.refused.labels(reason).inc()
        if reason in {"unauthenticated", "wrong_audience"}:
            self.unauthenticated.inc()
        if reason == "malformed":
            self.malformed.inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
