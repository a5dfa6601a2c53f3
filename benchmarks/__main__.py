"""`make bench`: all figures in one run, printed as tables; everything that it starts, it ends."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import imports, memory, push, startup
from mesh.cli.platform import Platform

NAME = "bench"
PROXIES = 10
console = Console()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print one table of figures."""
    made = Table(*columns, title=title, title_justify="left", box=None, padding=(0, 3, 0, 0))
    for row in rows:
        made.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(made, "")


def main() -> None:
    """Measure start-up, pushes, memory and imports."""
    from pocketkube.embedded import EmbeddedCluster

    costs = imports.measure()
    table(
        "Imports, best of three", ("program", "CPU s", "MB", "heavy libraries"),
        [(c.program, c.seconds, c.megabytes, " ".join(c.heavy) or "none") for c in costs],
    )  # fmt: skip
    try:
        begun = startup.measure(NAME)
        table(
            "Start-up",
            ("until", "s"),
            [("mesh ready", begun.mesh_ready), ("first request", begun.first_request)],
        )
        cluster = EmbeddedCluster.find(NAME)
        assert cluster is not None, "the cluster has just been started"
        used = memory.measure(json.loads((cluster.kubeconfig.parent / "supervisor.json").read_text())["pid"])
        table("Memory of the demo (PSS)", ("program", "MB"), list(used.items()))
        figures = measure_pushes(Platform(cluster.kubeconfig))
        table("One VirtualService changed, until in force", ("clock", "median ms", "maximum ms"), [
            (f"Pilot's, {figures.proxies} proxies", figures.pilot_median, figures.pilot_maximum),
            ("the user's, API server and barrier included", figures.user_median, figures.user_maximum),
        ])  # fmt: skip
    finally:
        if (running := EmbeddedCluster.find(NAME)) is not None:
            running.stop()


def measure_pushes(platform: Platform) -> push.PushFigures:
    """Bring the demo to ten proxies, then measure."""
    push.scale_to(platform, PROXIES)
    return push.measure(platform)


if __name__ == "__main__":
    main()
