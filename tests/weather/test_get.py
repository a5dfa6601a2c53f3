"""H5: `weather get` says who answered how often, with nothing but Python in the container."""

import subprocess
import sys

import pytest

from tests.ports import free_port
from tests.weather.conftest import Running, Start

pytestmark = pytest.mark.behaviour("H5")


def get(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "weather.main", "get", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def forecast(start: Start) -> Running:
    return start("recommendation", VERSION="v7", POD_NAME="recommendation-v7-x")


def test_answers_are_counted_by_who_gave_them(forecast: Running) -> None:
    done = get(f"{forecast.url}/nowhere", "-n", "3")
    assert (done.returncode, done.stderr) == (0, "")
    count, status, *rest = done.stdout.split()
    assert (count, status) == ("3", "404") and rest


@pytest.mark.parametrize("options", [(), ("--fresh",)])
def test_the_whole_answer_is_shown(forecast: Running, options: tuple[str, ...]) -> None:
    done = get(f"{forecast.url}/healthz", "--show", *options, "-n", "2", "-H", "end-user: ann")
    assert done.stdout.startswith("200 OK\n")
    assert "\n\n" in done.stdout


def test_nobody_there() -> None:
    done = get(f"http://127.0.0.1:{free_port()}/", "-n", "2")
    assert done.returncode == 1
    assert done.stdout.startswith("2  no answer: ")
    assert done.stderr == ""


def test_what_is_no_header_is_named() -> None:
    done = get("http://127.0.0.1:1/", "-H", "end-user")
    assert done.returncode == 2
    assert "'end-user' is no header; write 'NAME: VALUE'" in done.stderr
