"""What mutual TLS costs: the same requests over it and in plain text, in turns, in one run.

From the client's Pod to forecast v1, one request at a time over kept connections, so that what is measured is
the way and not a queue. Turns, because a machine is not equally fast all the time.
"""

import statistics
from dataclasses import dataclass

from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh

TURNS = 5
REQUESTS = 400
HOST = "forecast.weather.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one way of calling, over all turns: over kept connections, and over fresh ones."""

    way: str
    median: float
    p99: float
    fresh_median: float


def measure(mesh: Mesh) -> list[Latency]:
    """Both ways, in turns; everything is put back."""
    demo = Weather(mesh)
    samples: dict[str, list[float]] = {"mutual TLS": [], "plain text": []}
    fresh: dict[str, list[float]] = {"mutual TLS": [], "plain text": []}
    with mesh.undoing():
        mesh.apply(demo.rule("all-v1"))
        for _ in range(TURNS):
            collect(demo, "ISTIO_MUTUAL", samples["mutual TLS"], fresh["mutual TLS"])
            with mesh.undoing():
                mesh.apply(off())
                collect(demo, "DISABLE", samples["plain text"], fresh["plain text"])
    return [figures(way, samples[way], fresh[way]) for way in samples]


def collect(demo: Weather, mode: str, kept: list[float], fresh: list[float]) -> None:
    """One turn, sidecars' connections kept and then fresh; the first requests warm up and do not count."""
    for target, each, count in ((kept, 0, REQUESTS), (fresh, 1, REQUESTS // 4)):
        demo.mesh.apply(rule(mode, each))
        demo.client.get(demo.forecast, count=50)
        responses = demo.client.get(demo.forecast, count=count)
        if responses.failed:
            raise RuntimeError(f"{len(responses.failed)} requests failed: {responses.failed[0]}")
        target += [response.ms for response in responses]


def figures(way: str, kept: list[float], fresh: list[float]) -> Latency:
    """Median and 99th percentile."""
    ordered = sorted(kept)
    p99 = ordered[int(len(ordered) * 0.99)]
    return Latency(way, statistics.median(kept), p99, statistics.median(fresh))


def off() -> Obj:
    """No mutual TLS at forecast."""
    selector = {"matchLabels": {"app": "forecast"}}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "bench", "namespace": "weather"},
        "spec": {"selector": selector, "mtls": {"mode": "DISABLE"}},
    }


def rule(mode: str, requests: int) -> Obj:
    """How forecast is called, and how many requests a sidecar sends over one connection (0: any number)."""
    policy = {"tls": {"mode": mode}, "connectionPool": {"http": {"maxRequestsPerConnection": requests}}}
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "forecast", "namespace": "weather"},
        "spec": {"host": "forecast", "subsets": subsets, "trafficPolicy": policy},
    }
