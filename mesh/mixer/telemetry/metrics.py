"""What istio-telemetry counts of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class TelemetryMetrics:
    """Counters of one istio-telemetry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        records = Counter("mixer_telemetry_records", "Entries taken", ["kind"], registry=registry)
        self.http, self.tcp = records.labels("http").inc, records.labels("tcp").inc
        self.messages = Counter("mixer_telemetry_messages", "Messages taken", registry=registry).inc
        self.instances = Counter(
            "mixer_telemetry_instances", "Instances handed to handlers", registry=registry
        ).inc
        self.failed = Counter(
            "mixer_telemetry_failures", "Entries that could not be read", registry=registry
        ).inc
        self.adopted = Counter(
            "mixer_telemetry_adopted", "Connections of which another process knew before", registry=registry
        ).inc
        self.refused = Counter(
            "mixer_telemetry_refused", "Streams of callers that are not of the mesh", registry=registry
        ).inc
        self.streams = Gauge("mixer_telemetry_streams", "Proxies that are connected", registry=registry)
