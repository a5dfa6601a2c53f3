"""Load on the data path, by `meshctl`: Locust headless, with its page and in Pods; requests by schedule."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from e2e.conftest import Command, Outside
from loadtests.openloop.lines import Ended, read
from pytest_mesh.demo import Weather
from pytest_mesh.eventually import eventually
from pytest_mesh.kube import Obj

pytestmark = pytest.mark.behaviour("H4")

VERSIONS = {"v1", "v2"}
PATIENCE = 90.0


def job_of(weather: Weather, name: str) -> Obj:
    """A Job when it has ended; its conditions say how."""
    item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": "weather", "name": name}}

    def ended() -> Obj | None:
        found = weather.mesh.api.find(item) or {}
        conditions = found.get("status", {}).get("conditions") or []
        over = any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)
        return found if over else None

    found = eventually(ended, PATIENCE)
    assert found
    return found


def exits(weather: Weather, name: str) -> list[dict[str, int]]:
    """Of each of a load's Pods the exit codes by container, the sidecar's too."""
    pods = weather.mesh.api.items("Pod", "weather", labels=f"load={name}")
    return [
        {each["name"]: each["state"]["terminated"]["exitCode"] for each in pod["status"]["containerStatuses"]}
        for pod in pods
    ]


@pytest.fixture
def name(weather: Weather, kubectl: Command, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a load test's Job; nothing of it is left afterwards."""
    made = f"load-{request.node.originalname.removeprefix('test_')[:20].strip('_').replace('_', '-')}"
    yield made
    gone = kubectl("-n", "weather", "delete", "job,configmap,service,pod", "-l", f"load={made}", "--wait")
    assert gone.returncode == 0, gone.stderr


def test_headless_with_csv_and_html(weather: Weather, meshctl: Command, tmp_path: Path) -> None:
    weather.follow("canary-90-10")
    names = {"--csv": "load", "--html": "load.html", "--json-file": "load"}
    files = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    result = meshctl("load", "run", "-u", "10", "-r", "10", "-t", "6", *files)
    assert result.returncode == 0, result.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "load.json").read_text())}
    assert rows["/api/weather (v1)"]["num_requests"] > 10
    assert not any(row["num_failures"] for row in rows.values())
    assert "Aggregated" in (tmp_path / "load_stats.csv").read_text()
    assert "/api/weather" in (tmp_path / "load.html").read_text()


def test_by_schedule(weather: Weather, meshctl: Command) -> None:
    label = ("--label", "json:forecast.version")
    result = meshctl("load", "openloop", "/api/weather", "-s", "poisson:50", "-d", "3", "-q", *label)
    assert result.returncode == 0, result.stderr
    *_, last = map(read, result.stdout.splitlines())
    assert isinstance(last, Ended)
    assert (last.account.failed, last.account.dropped) == (0, 0)
    assert last.account.sent == last.account.scheduled > 100
    assert set(last.labels) == VERSIONS
    assert sum(each.count for each in last.labels.values()) == last.account.done


def test_with_its_web_page(weather: Weather) -> None:
    """Started on its page, watched there, ended by Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        page = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mesh.cli.main", "load", "run", "--web", "--host", weather.url]
    where = ("--web-host", "127.0.0.1", "--web-port", page.rpartition(":")[2])
    with subprocess.Popen([*command, *where], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert "Locust" in eventually(lambda: asked(page), PATIENCE)
            asked(f"{page}/swarm", urlencode({"user_count": 5, "spawn_rate": 5, "host": weather.url}))
            eventually(lambda: json.loads(asked(f"{page}/stats/requests"))["current_rps"] > 0, PATIENCE)
            stats = json.loads(asked(f"{page}/stats/requests"))
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert stats["fail_ratio"] == 0
    assert "Traceback" not in said


def asked(url: str, form: str = "") -> str:
    """What a page answers, empty while nobody listens."""
    try:
        with urlopen(url, data=form.encode() or None, timeout=30) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.mark.deep
def test_as_a_job_with_workers(weather: Weather, meshctl: Command, kubectl: Command, name: str) -> None:
    """Three Pods with sidecars; all end, and the master has what its workers counted."""
    options = ("-u", "6", "-t", "3", "--workers", "2", "--name", name, "--apply")
    started = meshctl("load", "job", *options)
    assert started.returncode == 0, started.stderr
    for each, pods in ((name, 1), (f"{name}-workers", 2)):
        assert job_of(weather, each)["status"].get("succeeded") == pods, logs(kubectl, each)
    assert exits(weather, name) == [{"locust": 0, "istio-proxy": 0}] * 3
    said = logs(kubectl, name)
    assert "2 workers connected" in said
    assert "/api/weather (v1)" in said


def test_as_a_job_over_grpc(
    weather: Weather, outside_servers: Outside, meshctl: Command, kubectl: Command, name: str
) -> None:
    target = ("--host", "guard.outside:9000")
    started = meshctl("load", "job", "-f", "grpc", *target, "-t", "6", "--name", name, "--apply")
    assert started.returncode == 0, started.stderr
    assert job_of(weather, name)["status"].get("succeeded") == 1, logs(kubectl, name)
    assert "Check (allow)" in logs(kubectl, name)


def test_as_a_job_that_fails(weather: Weather, meshctl: Command, name: str) -> None:
    """Requests that fail make the Job fail, once; its sidecar is gone all the same."""
    target = ("--host", "http://frontend:3000/nothing-here")
    started = meshctl("load", "job", *target, "-t", "2", "--name", name, "--apply")
    assert started.returncode == 0, started.stderr
    assert job_of(weather, name)["status"].get("failed") == 1
    assert exits(weather, name) == [{"locust": 1, "istio-proxy": 0}]


def logs(kubectl: Command, job: str) -> str:
    """What Locust said in a Job's Pod."""
    result = kubectl("-n", "weather", "logs", f"job/{job}", "-c", "locust")
    return result.stdout + result.stderr
