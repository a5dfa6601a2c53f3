"""What the store of spans tells about itself, read when it is scraped."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.mixer.tracing.store import SpanStore


class SpanMetrics(Collector):
    """Metrics of a store; registers itself."""

    def __init__(self, store: SpanStore, registry: CollectorRegistry) -> None:
        self._store = store
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        store = self._store
        yield CounterMetricFamily("mixer_spans_received", "Spans taken in", value=store.taken)
        yield CounterMetricFamily("mixer_spans_repeated", "Spans that came again", value=store.repeated)
        yield CounterMetricFamily("mixer_spans_forgotten", "Spans kept no longer", value=store.forgotten)
        yield GaugeMetricFamily("mixer_spans_kept", "Spans kept for queries", value=len(store))
