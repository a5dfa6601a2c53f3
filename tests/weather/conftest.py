"""The demo's services as real processes on loopback."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests import ports

READY = re.compile(r"(\w+) (\w+) listens on port (\d+)")


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **arguments)

    def delete(self, path: str) -> requests.Response:
        return requests.delete(self.url + path, timeout=30)

    def post(self, path: str, json: Any) -> requests.Response:
        return requests.post(self.url + path, json=json, timeout=30)


Start = Callable[..., Running]


def command(service: str) -> list[str]:
    return [sys.executable, "-m", "weather.main", service]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start a service with settings; all are ended after the module's last test."""
    running: list[subprocess.Popen[str]] = []

    def start_one(service: str, **settings: str) -> Running:
        defaults = {"PORT": "0", "TCP_PORT": "0", "HOST": "127.0.0.1", "DRAIN_SECONDS": "0"}
        process = subprocess.Popen(
            command(service), env={**os.environ, **defaults, **settings}, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        found = READY.match(process.stdout.readline())
        assert found, f"{service} did not start"
        return Running(process, f"http://127.0.0.1:{found[3]}")

    yield start_one
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def echo(start: Start) -> Running:
    """A server that says what arrived."""
    return start("echo")


@pytest.fixture(scope="module")
def free_port() -> int:
    """A port of loopback that nobody listens on."""
    return ports.free_port()
