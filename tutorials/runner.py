"""Runs a lesson's commands and checks against a live mesh."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutorials.compare import difference
from tutorials.model import Lesson, Step

if TYPE_CHECKING:
    from pytest_mesh.demo import Weather

ROOT = Path(__file__).parent.parent
LIMIT = 180.0  # seconds that one block of commands may take


class Missing(Exception):
    """A step is not done; the message says what is missing."""


class CannotTell(Missing):
    """A check failed in a way that its writer did not think of, such as a lost connection."""


def run(script: str, kubeconfig: Path) -> str:
    """Run shell commands as the lesson's reader does, in the project's folder; what they print.

    `Missing` with their words if one fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    if done.returncode:
        raise Missing(f"the commands\n{script}exit with {done.returncode}:\n{done.stdout}")
    return done.stdout


def check(step: Step, weather: "Weather") -> None:
    """Ask the live mesh whether a step is done; `Missing` says what is missing.

    `CannotTell` if the check itself could not be made.
    """
    names: dict[str, Any] = {"weather": weather, "mesh": weather.mesh, "project": ROOT}
    if "client" in step.check:
        names["client"] = weather.client
    if "outside" in step.check:
        names["outside"] = weather.outside
    try:
        exec(compile(step.check, f"check of '{step.title}'", "exec"), names)
    except AssertionError as error:
        raise Missing(str(error) or "the check does not hold") from error
    except Exception as error:
        words = f"it cannot be told whether this is done: {type(error).__name__}: {error}"
        raise CannotTell(words) from error


def solve(step: Step, weather: "Weather") -> str:
    """Run a step's commands; what they print. `Missing` if one fails."""
    return "".join(run(command.script, weather.mesh.cluster.kubeconfig) for command in step.commands)


def prove(step: Step, weather: "Weather") -> None:
    """The check fails before and passes after the commands, and these print what the lesson says."""
    try:
        check(step, weather)
    except CannotTell:
        raise
    except Missing:
        pass
    else:
        raise AssertionError(f"'{step.title}': its check passes before anything is done")
    for command in step.commands:
        came = run(command.script, weather.mesh.cluster.kubeconfig)
        differs = difference(command.output, came, about=command.about) if command.output is not None else ""
        assert not differs, f"'{step.title}': {differs}"
    check(step, weather)


def reset(lesson: Lesson, weather: "Weather") -> None:
    """Put the cluster back as it was before the lesson; may be run at any time."""
    run(lesson.reset, weather.mesh.cluster.kubeconfig)
    weather.mesh.settle()
