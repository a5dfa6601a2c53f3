"""What each program costs before it does anything: CPU and memory of its imports."""

import json
import subprocess
import sys
from dataclasses import dataclass

PROGRAMS = {
    "python alone": "sys",
    "istio-init": "mesh.agent.main mesh.agent.iptables",
    "pilot-agent": "mesh.agent.main mesh.agent.proxy mesh.agent.identity.serving",
    "pilot-discovery": "mesh.pilot.main mesh.pilot.pilot mesh.pilot.compile mesh.pilot.ads.server"
    " mesh.galley.source.kubernetes mesh.registry.kubernetes kubernetes.aio.client",
    "sidecar-injector": "mesh.injector.main",
    "weather frontend": "weather.main weather.services weather.serve",
    "pocketkube": "pocketkube.main pocketkube.assembly",
    "meshctl status": "mesh.cli.main mesh.cli.status kubernetes",
}
PROBE = """
import importlib, json, resource, sys
for name in sys.argv[1].split():
    importlib.import_module(name)
use = resource.getrusage(resource.RUSAGE_SELF)
heavy = sorted({"kubernetes", "pydantic", "aiohttp", "grpc"} & set(sys.modules))
print(json.dumps([use.ru_utime + use.ru_stime, use.ru_maxrss / 1024, heavy]))
"""


@dataclass(frozen=True, slots=True)
class ImportCost:
    """The best of three runs: seconds of CPU, MB of memory, the heavy libraries that came along."""

    program: str
    seconds: float
    megabytes: float
    heavy: tuple[str, ...]


def measure() -> list[ImportCost]:
    """Import what every program imports in a fresh interpreter, three times each."""
    return [
        min((probe(name, module) for _ in range(3)), key=lambda c: c.seconds)
        for name, module in PROGRAMS.items()
    ]


def probe(program: str, module: str) -> ImportCost:
    """One import in a fresh interpreter."""
    run = subprocess.run([sys.executable, "-c", PROBE, module], capture_output=True, text=True, check=True)
    seconds, megabytes, heavy = json.loads(run.stdout)
    return ImportCost(program, seconds, megabytes, tuple(heavy))
