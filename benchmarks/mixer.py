"""What Mixer costs a call: the same requests in five ways, in turns, in one run.

From the client's Pod to forecast v1. Times are those of one request at a time over a kept connection, so that
what is measured is the way and not a queue; the rate is what sixteen at a time reach, with the load's own
sender, both Envoys, the service and Mixer all on the same cores.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from e2e.mixer import Mixer, denial
from e2e.security import mesh_settings
from pytest_mesh import Responses, eventually
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj
from pytest_mesh.mesh import Mesh
from pytest_mesh.pods import Pod
from weather import NAMESPACE

TURNS = 3
REQUESTS = 300
BURST = 1500
AT_A_TIME = 16
TO_FORECAST = 'destination.labels["app"] == "forecast"'
COMPILED = f'{TO_FORECAST} && request.headers["x-no"] == "1"'
CALLED = f'{TO_FORECAST} && source.labels["version"] == "v9"'
CALL_FILTER, COMPILED_FILTER, REPORTS = "ext_authz", "rbac", "HttpGrpcAccessLogConfig"


@dataclass(slots=True)
class Way:
    """One way of calling: which rule there is and whether calls are reported; and what was measured."""

    name: str
    match: str
    reports: bool
    ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Milliseconds of one request."""
        return statistics.median(self.ms)

    @property
    def p99(self) -> float:
        """Milliseconds within which 99 of 100 were answered."""
        return sorted(self.ms)[int(len(self.ms) * 0.99)]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return statistics.median(self.rates)


def ways() -> list[Way]:
    """The five ways."""
    return [
        Way("without Mixer", "", False),
        Way("compiled policy", COMPILED, False),
        Way("a policy call", CALLED, False),
        Way("telemetry", "", True),
        Way("a policy call and telemetry", CALLED, True),
    ]


def measure(mesh: Mesh) -> list[Way]:
    """All ways, in turns; everything is put back."""
    demo, mixer, found = Weather(mesh), Mixer(mesh), ways()
    try:
        with mesh.undoing():
            mesh.apply(demo.rule("all-v1"))
            mesh.scale(NAMESPACE, "forecast-v1", 1)
            eventually(lambda: len(mesh.pods(NAMESPACE, app="forecast", version="v1")) == 1, 30)
            for _ in range(TURNS):
                for way in found:
                    with in_force(demo, mixer, way):
                        collect(demo, way)
    finally:
        mixer.close()
    return found


def collect(demo: Weather, way: Way) -> None:
    """One turn; the first requests warm up and do not count."""
    well(demo.client.get(demo.forecast, count=100, concurrency=AT_A_TIME))
    way.ms += [each.ms for each in well(demo.client.get(demo.forecast, count=REQUESTS))]
    burst = well(demo.client.get(demo.forecast, count=BURST, concurrency=AT_A_TIME))
    way.rates.append(BURST / max(each.at + each.ms / 1000 for each in burst))


def well(responses: Responses) -> Responses:
    """The responses; RuntimeError if one failed."""
    if responses.failed:
        raise RuntimeError(f"{len(responses.failed)} requests failed: {responses.failed[0]}")
    return responses


@contextmanager
def in_force(demo: Weather, mixer: Mixer, way: Way) -> Iterator[None]:
    """The way's rule and settings, at both Envoys."""
    settings: Obj = {"disableMixerHttpReports": not way.reports}
    with mesh_settings(demo.mesh, **settings), demo.mesh.undoing():
        if way.match:
            mixer.apply(denial("bench", way.match))
        wanted = {CALL_FILTER: way.match == CALLED, REPORTS: way.reports}
        wanted |= {COMPILED_FILTER: True} if way.match == COMPILED else {}
        forecast = demo.pod("forecast")
        eventually(lambda: has(forecast, wanted), 30)
        eventually(lambda: has(demo.client.pod, {REPORTS: way.reports}), 30)
        yield


def has(pod: Pod, wanted: dict[str, bool]) -> bool:
    """Whether a Pod's listeners have just these filters and logs."""
    text = pod.proxy.request("GET", "/config_dump?resource=dynamic_listeners")
    return all((word in text) == there for word, there in wanted.items())
