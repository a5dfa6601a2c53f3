"""H1: nothing of a cluster is left on the machine: not after its end, not after `kill -9` of any part."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.processes import alive, family
from pocketkube.embedded import EmbeddedCluster
from pytest_mesh import eventually
from pytest_mesh.clusters import Cluster, choose
from pytest_mesh.clusters.embedded import sweep
from pytest_mesh.kube import Api, Obj

pytestmark = pytest.mark.behaviour("H1")
NAME = "test-leftovers"
# A run that holds a cluster, and says so; what it is told then decides how it ends.
RUN = f"""
import sys
from pytest_mesh.clusters import choose
cluster = choose("embedded", name={NAME!r})
print("up", flush=True)
sys.stdin.readline()
cluster.stop()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of our own; the session's cluster keeps its."""
    monkeypatch.setenv("MESHWRIGHT_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def supervisor(home: Path) -> int:
    return int(json.loads((home / NAME / "supervisor.json").read_text())["pid"])


def mounts(home: Path) -> list[str]:
    """Mounts in the state folder, as this machine sees them."""
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(home) in line]


def network() -> tuple[str, ...]:
    """The machine's interfaces, routes and firewall rules."""
    commands = (["ip", "-o", "link"], ["ip", "route"], ["iptables-save"])
    texts = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands
    )
    return tuple(_without_counters(text) for text in texts)


def _without_counters(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":")))


def test_a_cluster_that_ends_in_order_leaves_nothing(home: Path, run: subprocess.Popen[str]) -> None:
    processes = family(supervisor(home))
    assert len(processes) > 1
    run.communicate("stop\n", timeout=60)
    assert run.returncode == 0
    assert alive(processes) == []
    assert mounts(home) == []
    assert not (home / NAME).exists()


def test_a_cluster_does_not_touch_the_machines_network(home: Path, run: subprocess.Popen[str]) -> None:
    during = network()
    assert not any("198.18." in text or "198.19." in text for text in during)
    run.communicate("stop\n", timeout=60)
    assert network() == during


def test_when_the_run_is_killed_its_cluster_goes_with_it(home: Path, run: subprocess.Popen[str]) -> None:
    processes = family(supervisor(home))
    run.send_signal(signal.SIGKILL)
    eventually(lambda: not (home / NAME).exists(), 30)
    eventually(lambda: alive(processes) == [], 10)
    assert mounts(home) == []


def test_when_the_supervisor_is_killed_only_the_state_folder_is_left(
    home: Path, run: subprocess.Popen[str]
) -> None:
    processes = family(supervisor(home))
    os.kill(processes[0].pid, signal.SIGKILL)
    eventually(lambda: alive(processes) == [], 30)
    assert mounts(home) == []
    assert (home / NAME).is_dir()


@pytest.fixture
def stale(home: Path) -> Path:
    """What a crash has left: a state folder whose supervisor is no more."""
    folder = home / NAME
    folder.mkdir(parents=True)
    (folder / "supervisor.json").write_text('{"pid": 999999, "ready": true}')
    return folder


def test_the_next_run_clears_what_a_crash_has_left(stale: Path) -> None:
    sweep()
    assert not stale.exists()


def test_a_kept_cluster_starts_over_a_crashed_one_is_used_again_and_runs_beside_others(stale: Path) -> None:
    first = choose("embedded", name=NAME, keep=True)
    try:
        other = choose("embedded", name=f"{NAME}-2")
        try:
            again = choose("embedded", name=NAME, keep=True)
            assert again.kubeconfig == first.kubeconfig
            assert [len(nodes_of(cluster)) for cluster in (again, other)] == [2, 2]
            again.stop()
        finally:
            other.stop()
        assert len(nodes_of(first)) == 2, "a kept cluster goes on"
    finally:
        EmbeddedCluster.remove(NAME)
    assert not stale.exists()


def nodes_of(cluster: Cluster) -> list[Obj]:
    api = Api(cluster.kubeconfig)
    try:
        return api.items("Node")
    finally:
        api.close()
