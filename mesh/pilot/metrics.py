"""Pilot's metrics, with Istio's names, in a registry of their own (so that tests may run several Pilots)."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mesh.pilot.types import CDS, EDS, LDS, RDS, SDS

SHORT = {CDS: "CDS", EDS: "EDS", LDS: "LDS", RDS: "RDS", SDS: "SDS"}

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def short(type_url: str) -> str:
    """How people call a type of resource: `CDS`; the last part of its URL if it has no such name."""
    return SHORT.get(type_url, type_url.rpartition(".")[2])


class Metrics:
    """Counters and gauges of one Pilot. `further` are registries of others in the same process."""

    def __init__(self, further: Iterable[CollectorRegistry] = ()) -> None:
        self._further = tuple(further)
        self.registry = CollectorRegistry()
        self.connected = Gauge("pilot_xds", "Proxies connected", registry=self.registry)
        self.agents = Gauge("pilot_xds_agents", "Agents of proxies connected", registry=self.registry)
        self.pushes = Counter(
            "pilot_xds_pushes", "Messages sent to proxies", ["type"], registry=self.registry
        )
        self.rejects = Counter(
            "pilot_total_xds_rejects", "Messages that proxies refused", ["type"], registry=self.registry
        )
        self.refused = Counter(
            "pilot_xds_refused_streams",
            "Streams that were refused, or ended because their caller is trusted no longer",
            ["reason"],
            registry=self.registry,
        )
        self.convergence = Histogram(
            "pilot_proxy_convergence_time",
            "Seconds from a change until a proxy concerned had accepted all of it",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.push_time = Histogram(
            "pilot_xds_push_time",
            "Seconds to build a snapshot, compile it and hand it to all proxies",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.internal_errors = Counter(
            "pilot_total_xds_internal_errors", "Faults in compiling", registry=self.registry
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return b"".join(map(generate_latest, (self.registry, *self._further)))
