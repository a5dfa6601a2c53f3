"""What istio-policy counts. Children of labels are bound once: a look-up costs more than a cached check."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mesh.rules.answers import HTTP_STATUS, code_name

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class PolicyMetrics:
    """Counters of one istio-policy."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        checks = Counter("mixer_policy_checks", "Checks answered, by code", ["code"], registry=registry)
        self.checks = {code: checks.labels(code_name(code)).inc for code in HTTP_STATUS}
        self.other = checks.labels("OTHER").inc
        failures = Counter(
            "mixer_policy_failures",
            "Checks without an answer: the fail policy of the proxy that asked decides",
            ["reason"],
            registry=registry,
        )
        self.failed = failures.labels("adapter").inc
        self.late = failures.labels("deadline").inc
        self.broken = failures.labels("fault").inc
        self.abandoned = failures.labels("abandoned").inc
        self.refused = failures.labels("caller").inc
        self.shed = Counter(
            "mixer_policy_shed", "Checks turned away because of too much load", registry=registry
        )
        self.hits = Counter("mixer_check_cache_hits", "Answers from the cache", registry=registry)
        self.misses = Counter("mixer_check_cache_misses", "Answers not in the cache", registry=registry)
        self.cached = Gauge("mixer_check_cache_answers", "Answers in the cache", registry=registry)
        quotas = Counter("mixer_policy_quotas", "Quotas asked for", ["result"], registry=registry)
        self.granted = quotas.labels("granted").inc
        self.exhausted = quotas.labels("refused").inc
        self.seconds = Histogram(
            "mixer_policy_seconds", "Seconds to answer a check", buckets=BUCKETS, registry=registry
        )
        self.pending = Gauge("mixer_policy_pending", "Checks under way", registry=registry)

    def answered(self, code: int) -> None:
        """Count an answer."""
        self.checks.get(code, self.other)()
