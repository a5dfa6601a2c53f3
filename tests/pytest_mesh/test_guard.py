"""The guard: removes a cluster whose run was killed, and only then."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mesh import eventually

pytestmark = pytest.mark.behaviour("H1")

BEGIN = """
import sys
from pytest_mesh.clusters.guard import Guard
g = Guard("test-guarded")
print("up", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The state folder of a cluster that died."""
    state = tmp_path / "test-guarded"
    state.mkdir()
    (state / "supervisor.json").write_text("{}")
    return state


def run(folder: Path, then: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MESHWRIGHT_HOME": str(folder.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + then],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=30)
    return process.returncode


def test_a_killed_run_leaves_nothing(folder: Path) -> None:
    process = run(folder, "sys.stdin.read()")
    process.send_signal(signal.SIGKILL)
    assert finish(process) == -signal.SIGKILL
    eventually(lambda: not folder.exists(), 20)


def test_a_run_that_ended_in_order_leaves_its_cluster_to_itself(folder: Path) -> None:
    assert finish(run(folder, "g.release()")) == 0
    assert folder.exists()
