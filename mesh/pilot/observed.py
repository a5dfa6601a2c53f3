"""How the calls that a proxy sees are observed: traced, logged and reported."""

from dataclasses import dataclass

from mesh.model import Proxy
from mesh.pilot.reader import Reader
from mesh.pilot.reporting import NOBODY, Logs, logged
from mesh.pilot.tracing import Tracing, traced


@dataclass(frozen=True, slots=True)
class Observed:
    """How one side's calls are observed."""

    tracing: Tracing | None = None
    logs: Logs = NOBODY


UNOBSERVED = Observed()


def sides(read: Reader, proxy: Proxy) -> tuple[Observed, Observed]:
    """How a proxy observes calls to its workload, and those from it."""
    traces, logs = traced(read, proxy), logged(read, proxy)
    return Observed(traces.server, logs.server), Observed(traces.client, logs.client)
