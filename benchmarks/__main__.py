"""`make bench`: all figures in one run, printed as tables; everything that it starts, it ends."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import check, identity, imports, latency, memory, mixer, mixer_parts, push, reports, startup
from mesh.cli.platform import Platform
from pytest_mesh.demo import Weather
from pytest_mesh.mesh import Mesh
from pytest_mesh.verbs.running import Named

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
        with mesh_of(cluster.kubeconfig) as mesh:
            security_figures(mesh)
            mixer_figures(mesh)
    finally:
        if (running := EmbeddedCluster.find(NAME)) is not None:
            running.stop()


@contextmanager
def mesh_of(kubeconfig: Path) -> Iterator[Mesh]:
    """The mesh in the benchmark's cluster."""
    mesh = Mesh(Named(NAME, kubeconfig))
    try:
        yield mesh
    finally:
        mesh.close()


def security_figures(mesh: Mesh) -> None:
    """Certificates, admission, and what mutual TLS costs."""
    first = identity.first_certificates(mesh)
    rate = identity.signed_per_second(mesh, Weather(mesh).client.pod)
    judged, other = identity.admission(mesh)
    table("Identity and admission", ("what", "figure"), [
        (f"creating a Pod until its first certificate, s (median of {first.pods})", first.certificate),
        ("creating a Pod until it is ready, s", first.ready),
        ("certificates signed over gRPC with mutual TLS, per second", rate),
        ("dry write of a rule that Galley judges, ms (median)", judged),
        ("dry write of what has no webhook, ms (median)", other),
    ])  # fmt: skip
    ways = latency.measure(mesh)
    columns = ("way", "median ms", "p99 ms", "fresh connection, median ms")
    rows = [(each.way, each.median, each.p99, each.fresh_median) for each in ways]
    table("Client's Pod to forecast v1, one request at a time", columns, rows)


def mixer_figures(mesh: Mesh) -> None:
    """What Mixer costs a call, and what its parts do by themselves."""
    ways = mixer.measure(mesh)
    columns = ("way", "median ms", "p99 ms", f"requests/s, {mixer.AT_A_TIME} at a time")
    table("Client's Pod to forecast v1", columns, [(w.name, w.median, w.p99, w.rate) for w in ways])
    served = check.measure()
    columns = ("what", "median ms", "p99 ms", f"per second, {check.AT_A_TIME} at a time")
    table("istio-policy over gRPC on loopback", columns, [(s.what, s.median, s.p99, s.rate) for s in served])
    table("istio-telemetry over gRPC on loopback, standard metrics", ("records", "per second"), [
        (taken.what, round(taken.rate)) for taken in reports.measure()
    ])  # fmt: skip
    evaluated = [(e.name, e.plain, e.recording) for e in mixer_parts.expressions()]
    table("Expressions", ("expression", "microseconds", "noting what was read"), evaluated)


def measure_pushes(platform: Platform) -> push.PushFigures:
    """Bring the demo to ten proxies, then measure."""
    push.scale_to(platform, PROXIES)
    return push.measure(platform)


if __name__ == "__main__":
    main()
