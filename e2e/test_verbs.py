"""The commands `meshctl up`, `demo` and `down`, in a state folder of their own; and their bad days."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from e2e.processes import alive, family

Run = subprocess.CompletedProcess[str]
Meshctl = Callable[..., Run]
NAME = "test-verbs"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "state"


@pytest.fixture(scope="module")
def meshctl(home: Path) -> Iterator[Meshctl]:
    """Run `meshctl` where no cluster is yet; what it leaves is removed."""
    environment = {**os.environ, "MESHWRIGHT_HOME": str(home), "MESHWRIGHT_CLUSTER": NAME}

    def run(*arguments: str, wrapper: tuple[str, ...] = ()) -> Run:
        command = [*wrapper, sys.executable, "-m", "mesh.cli.main", *arguments]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=150
        )
        assert "Traceback" not in result.stderr
        return result

    yield run
    run("down")


def supervisor(home: Path) -> int:
    return int(json.loads((home / NAME / "supervisor.json").read_text())["pid"])


@pytest.mark.behaviour("W9", "H1")
def test_demo_runs_is_reused_and_down_leaves_nothing(meshctl: Meshctl, home: Path) -> None:
    first = meshctl("demo", "--requests", "500")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "500 requests through the ingress gateway, 0 failed" in first.stdout
    for words in ("istio-ingressgateway", "SYNCED", "asked 90.0%", "as asked", "p50", "Try next"):
        assert words in first.stdout
    (page,) = [line.split()[-1] for line in first.stdout.splitlines() if "Its page:" in line]
    assert "Who answered" in requests.get(page, timeout=20).text

    pid = supervisor(home)
    processes = family(pid)
    second = meshctl("demo", "--requests", "500")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "runs already" in second.stderr
    assert page in second.stdout
    assert supervisor(home) == pid

    assert meshctl("down").returncode == 0
    assert not home.exists()
    assert alive(processes) == []
    assert "nothing to do" in meshctl("down").stdout


@pytest.mark.behaviour("H1")
def test_a_port_that_is_taken_is_named_with_the_remedy(meshctl: Meshctl, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = meshctl("up", "--gateway-port", str(port))
    assert result.returncode == 3
    assert f"port {port}" in result.stderr
    assert "--gateway-port" in result.stderr
    assert not home.exists()


@pytest.mark.behaviour("H1")
def test_a_missing_privilege_is_named_with_the_remedy(meshctl: Meshctl, home: Path) -> None:
    setpriv = shutil.which("setpriv")
    assert setpriv, "setpriv belongs to util-linux"
    wrapper = (setpriv, "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    result = meshctl("up", wrapper=wrapper)
    assert result.returncode == 3
    assert "root" in result.stderr or "privilege" in result.stderr
    assert not (home / NAME).exists()


@pytest.mark.behaviour("H1")
def test_a_name_that_cannot_be_one_is_refused(meshctl: Meshctl) -> None:
    result = meshctl("up", "--name", "../other")
    assert result.returncode == 3
    assert "lower-case letters" in result.stderr


@pytest.mark.behaviour("H2")
def test_without_a_cluster_verbs_say_how_to_get_one(
    meshctl: Meshctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = meshctl("status", "--kubeconfig", "/no/such/file")
    assert result.returncode == 3
    assert "/no/such/file does not exist" in result.stderr
