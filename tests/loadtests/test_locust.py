"""Locust with our files against the demo's services on this machine; both kinds of users at once."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from loadtests.locustfiles import OURS
from loadtests.openloop.lines import Ended
from tests.loadtests.openloop.generator import Generator
from tests.weather.conftest import Running, Start

pytestmark = pytest.mark.behaviour("H4")

NAMES = {"http": ["/api/weather (v2)"], "grpc": ["Check (allow)"]}
Headless = subprocess.Popen[str]


def locust(kind: str, host: str, folder: Path, *more: str) -> Headless:
    files = ("--csv", str(folder / kind))
    options = ("--headless", "-u", "5", "-r", "5", "--json-file", str(folder / kind))
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "loadtests.locusts",
            "-f",
            str(OURS[kind]),
            "--host",
            host,
            *options,
            *files,
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def stopped_when_it_shows(run: Headless, *names: str) -> str:
    """Locust prints its counts every two seconds; ended when it has some of each name. What it said after."""
    assert run.stdout
    wanted = set(names)
    for line in run.stdout:
        wanted -= {name for name in wanted if re.search(rf"{re.escape(name)} +[1-9]", line)}
        if not wanted:
            break
    run.send_signal(signal.SIGINT)  # as Ctrl-C
    said, _ = run.communicate(timeout=120)
    assert not wanted, said
    return said


def counted(folder: Path, kind: str) -> tuple[Counter[str], int]:
    """Requests by name, and how many failed in all: Locust's CSV files may lack the last second."""
    rows = json.loads((folder / f"{kind}.json").read_text())
    return Counter({row["name"]: row["num_requests"] for row in rows}), sum(
        row["num_failures"] for row in rows
    )


def url_of_guard(start: Start) -> str:
    """Its gRPC port, which it has to be given: it does not tell one that it found itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start("guard", TCP_PORT=str(port))
    return f"127.0.0.1:{port}"


def test_both_files_headless_with_csv(start: Start, tmp_path: Path) -> None:
    v2 = start("forecast", VERSION="v2", RECOMMENDATION_URL=start("recommendation").url)
    frontend = start("frontend", FORECAST_URL=v2.url, ADVERTISEMENT_URL=start("advertisement").url)
    hosts = {"http": frontend.url, "grpc": url_of_guard(start)}
    for kind, run in {kind: locust(kind, host, tmp_path) for kind, host in hosts.items()}.items():
        said = stopped_when_it_shows(run, *NAMES[kind])
        assert run.returncode == 0, said
        assert "Traceback" not in said
        assert "Aggregated" in (tmp_path / f"{kind}_stats.csv").read_text()
    (http, http_failed), (grpc, grpc_failed) = counted(tmp_path, "http"), counted(tmp_path, "grpc")
    assert http["/api/weather (v2)"] > 0
    assert grpc["Check (allow)"] > 0
    assert (http_failed, grpc_failed) == (0, 0)


def test_a_run_without_an_answer_fails(tmp_path: Path) -> None:
    """Somebody takes the connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        run = locust("http", host, tmp_path, "--run-time", "1")
        said, _ = run.communicate(timeout=120)
    assert run.returncode == 1, said
    assert "no request was answered" in said


def test_a_run_lasts_as_long_as_it_says(echo: Running, tmp_path: Path) -> None:
    """However long its file took to be read."""
    file = tmp_path / "slow.py"
    file.write_text(
        "import time\nfrom locust import HttpUser, constant, task\ntime.sleep(3)\n"
        "class Asker(HttpUser):\n    wait_time = constant(0.1)\n\n    @task\n    def ask(self):\n"
        "        self.client.get('/')\n"
    )
    command = [sys.executable, "-m", "loadtests.locusts", "-f", str(file), "--host", echo.url, "--headless"]
    options = ("-u", "1", "--run-time", "3", "--json-file", str(tmp_path / "slow"))
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "slow.json").read_text())
    assert row["last_request_timestamp"] - row["start_time"] > 2


@pytest.mark.deep
def test_failures_are_failures(start: Start, free_port: int, tmp_path: Path) -> None:
    """A frontend without its forecast; and nobody at all at the guard's address."""
    frontend = start("frontend", FORECAST_URL="http://127.0.0.1:1", ADVERTISEMENT_URL="http://127.0.0.1:1")
    runs = {"http": frontend.url, "grpc": f"127.0.0.1:{free_port}"}
    for kind, run in {kind: locust(kind, host, tmp_path) for kind, host in runs.items()}.items():
        said = stopped_when_it_shows(run, "Aggregated")
        assert run.returncode == 1, said
        assert "Traceback" not in said
        assert counted(tmp_path, kind)[1] > 0, said


class Verb(Generator):
    """`meshctl load openloop`, which starts the generator as a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mesh.cli.main", "load", "openloop", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_verb_hands_signals_on_and_waits_for_the_last_line(echo: Running, number: signal.Signals) -> None:
    with Verb(echo.url + "/", "-s", "constant:50", "-d", "0", "--window", "0.1") as verb:
        first = verb.next()
        verb.wait_until(0.2)
        assert first.kind == "started"
        assert first.pid != verb.process.pid
        verb.signal(number)
        last = verb.end()
        code, _ = verb.exit()
    assert isinstance(last, Ended)
    assert (last.reason, code) == ("stopped", 0)
