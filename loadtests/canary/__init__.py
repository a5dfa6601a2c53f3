"""Canary rollouts under load: from a file to a verdict, a report, and rules that are as they should be."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.canary.rollout import Rollout
    from loadtests.canary.verdicts import Result
    from pytest_mesh.mesh import Mesh

__all__ = ["run"]


def run(
    rollout: "Rollout | Path | str", mesh: "Mesh", *, report: "Path | None" = None, **options: Any
) -> "Result":
    """Carry out a rollout (or the file of one) on a mesh; `options` are those of `engine.Engine`.

    `report`: a folder for HTML, JSON and JUnit, which is made.
    Raises `ConfigError` for a file that is none, `HarnessError` if nothing could be begun. Everything else
    is in the result, whose `verdict` says how it ended: the rules are then promoted, or as they were.
    """
    from loadtests.canary.engine import Engine
    from loadtests.canary.report import write
    from loadtests.canary.rollout import Rollout, load_file

    chosen = rollout if isinstance(rollout, Rollout) else load_file(rollout)
    result = Engine(chosen, mesh, **options).run()
    if report is not None:
        write(result, report)
    return result
