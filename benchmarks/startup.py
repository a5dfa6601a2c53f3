"""From `meshctl up` on a warm machine to the first request that the gateway routes to the demo."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds since the start of the program, its imports and all else included."""

    mesh_ready: float
    first_request: float


def measure(name: str) -> Startup:
    """Bring up cluster, mesh and demo in a fresh process; all is left running under `name`."""
    begin = time.time()
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.startup", name, str(begin)],
        cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, check=True, env=os.environ,
    )  # fmt: skip
    return Startup(**json.loads(run.stdout))


def main(name: str, begin: float) -> None:
    """What `meshctl up` does, then the demo, then one request; prints the figures as JSON."""
    from pytest_mesh.demo import Weather
    from pytest_mesh.verbs.running import bring_up

    with bring_up(name, None, lambda _: None) as mesh:
        ready = time.time() - begin
        demo = Weather(mesh)
        demo.deploy()
        (answer,) = demo.outside.get("/api/weather?city=Rome")
        if answer.status != 200:
            raise SystemExit(f"the first request was answered {answer.status}: {answer.error}")
    print(json.dumps({"mesh_ready": ready, "first_request": time.time() - begin}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
