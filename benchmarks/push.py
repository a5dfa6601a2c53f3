"""From a changed VirtualService to all proxies using it, with ten real proxies.

Two clocks: Pilot's own (from the moment it saw the change until the last proxy had it in force) and the
user's (from sending the change to the API server until the barrier answered).
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

from mesh.cli.platform import Platform

SCALE = "/apis/apps/v1/namespaces/weather/deployments/forecast-v1/scale"
MERGE = "application/merge-patch+json"
PATH = "/apis/networking.istio.io/v1/namespaces/weather/virtualservices"
HOST = "forecast.weather.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class PushFigures:
    """Milliseconds over all rounds; `proxies` is how many had something to change."""

    rounds: int
    proxies: int
    pilot_median: float
    pilot_maximum: float
    user_median: float
    user_maximum: float


def scale_to(platform: Platform, proxies: int, *, patience: float = 60.0) -> None:
    """Add replicas of forecast v1 until so many sidecars are in sync."""
    have = ready(platform)
    scale = platform.get(SCALE)
    scale["spec"]["replicas"] += max(0, proxies - have)
    platform.request("PUT", SCALE, scale)
    deadline = time.monotonic() + patience
    while ready(platform) < proxies:
        if time.monotonic() > deadline:
            raise RuntimeError(f"there are not {proxies} proxies after {patience:g} s")
        time.sleep(0.1)


def ready(platform: Platform) -> int:
    """How many sidecars have routes."""
    proxies = platform.pilot("GET", "/debug/syncz")
    return sum(
        p["kind"] == "sidecar" and p["types"].get("RDS", {}).get("status") == "SYNCED" for p in proxies
    )


def measure(platform: Platform, *, rounds: int = 50) -> PushFigures:
    """Change the weights of one rule `rounds` times, each time waiting until the change is in force."""
    platform.request("POST", PATH, rule(50))
    samples = []
    try:
        for number in range(rounds):
            patch = {"spec": rule(number % 2 * 10 + 10)["spec"]}
            begin = time.perf_counter()
            # A patch: Galley writes its status in between, and a whole object would be out of date.
            changed = platform.request("PATCH", f"{PATH}/bench", patch, content=MERGE)
            answer = platform.pilot("POST", "/debug/in-force", barrier(changed))
            samples.append((answer, (time.perf_counter() - begin) * 1000))
    finally:
        platform.request("DELETE", f"{PATH}/bench")
    return summary(samples)


def summary(samples: list[tuple[dict[str, Any], float]]) -> PushFigures:
    """Median and maximum of both clocks; the proxies that were slowest count."""
    failed = [answer for answer, _ in samples if answer["state"] != "in-force"]
    if failed:
        raise RuntimeError(f"{len(failed)} changes were not in force: {failed[0]}")
    pilot = [max((proxy["inForceMs"] for proxy in answer["proxies"]), default=0.0) for answer, _ in samples]
    user = [elapsed for _, elapsed in samples]
    proxies = min(len(answer["proxies"]) for answer, _ in samples)
    return PushFigures(
        len(samples), proxies, statistics.median(pilot), max(pilot), statistics.median(user), max(user)
    )


def rule(weight: int) -> dict[str, Any]:
    """A rule that every sidecar of the demo sees: it is for the forecast's host, by percentage."""
    route = [
        {"destination": {"host": HOST, "subset": "v1"}, "weight": weight},
        {"destination": {"host": HOST, "subset": "v2"}, "weight": 100 - weight},
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "bench", "namespace": "weather"},
        "spec": {"hosts": [HOST], "http": [{"route": route}]},
    }


def barrier(obj: dict[str, Any]) -> dict[str, Any]:
    """The question whether that version of the object is in force."""
    metadata = obj["metadata"]
    key = {"kind": obj["kind"], "namespace": metadata["namespace"], "name": metadata["name"]}
    return {
        "objects": [{**key, "resourceVersion": metadata["resourceVersion"], "deleted": False}],
        "timeoutSeconds": 10,
    }
