"""The generator as people and programs start it: its own process, its end, its words."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from loadtests.openloop.lines import Started, Window
from loadtests.openloop.main import app
from loadtests.openloop.tally import Part
from tests.loadtests.openloop.generator import Generator
from tests.weather.conftest import Running, Start

pytestmark = pytest.mark.behaviour("H4")


def test_it_ends_by_itself_and_the_windows_are_the_whole(echo: Running) -> None:
    label = "--label=header:x-weather-service"
    with Generator(echo.url + "/", "-s", "constant:100", "-d", "1", "--window", "0.25", label) as generator:
        first, *windows, last = generator.lines()
        code, said = generator.exit()
    assert code == 0
    assert isinstance(first, Started)
    assert (first.target, first.schedule, first.seconds) == (echo.url + "/", "constant:100", 1.0)
    assert last.kind == "ended"
    assert last.reason == "end"
    assert (last.account.scheduled, last.account.sent, last.account.done) == (100, 100, 100)
    assert last.labels["echo v1"].count == 100
    whole = Part()
    for window in windows:
        assert isinstance(window, Window)
        whole.account += window.account
    assert whole.account == last.account
    assert len(windows) >= 4
    assert "due 100: sent 100 (100.0%)" in said
    assert "echo v1  response  100" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_last_line(echo: Running, number: signal.Signals) -> None:
    with Generator(echo.url + "/", "-s", "poisson:50", "-d", "0", "--window", "0.1", "-q") as generator:
        generator.wait_until(0.3)
        generator.signal(number)
        last = generator.end()
        assert generator.exit() == (0, "")
    assert last.reason == "stopped"
    assert last.account.scheduled == last.account.sent == last.account.done > 0


def test_the_second_signal_does_not_wait_for_answers(start: Start) -> None:
    options = ("-d", "0", "--window", "0.1", "--timeout", "100", "--grace", "100", "-q")
    server = start("echo")
    with frozen(server), Generator(server.url + "/", "-s", "constant:50", *options) as generator:
        generator.wait_until(0.2)
        generator.signal()
        generator.wait_until(0.1)
        generator.signal()
        last = generator.end()
    assert last.labels[""].failures == {"abandoned": last.account.sent}


def test_a_reader_that_is_gone_ends_it(echo: Running) -> None:
    with Generator(echo.url + "/", "-d", "0", "--window", "0.1") as generator:
        generator.wait_until(0.1)
        generator.output.close()
        generator.process.wait(timeout=30)
        assert generator.process.stderr
        said = generator.process.stderr.read()
    assert generator.process.returncode == 1
    assert "the reader of the lines is gone" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["http://h/", "-s", "some:1"], "there is no kind 'some'"),
        (["http://h/", "-s", "ramp:1,2", "-d", "0"], "give --duration"),
        (["http://h/", "-H", "nonsense"], "write 'NAME: VALUE'"),
        (["http://h/", "--label", "x"], "label 'x' is none"),
        (["http://h/", "--workers", "0"], "--workers"),
    ],
)
def test_wrong_usage_is_told_and_sends_nothing(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_wrong_usage_as_a_process() -> None:
    with Generator("host") as generator:
        output, said = generator.process.communicate(timeout=60)
    assert (generator.process.returncode, output) == (2, "")
    assert "target 'host' is no address" in said
    assert "Traceback" not in said


@contextmanager
def frozen(server: Running) -> Iterator[None]:
    """The kernel takes its connections, and nobody answers."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


class ClosedLoop:
    """A user who sends the next request after the answer to the last, at most `rate` a second."""

    def __init__(self, url: str, rate: float) -> None:
        self._url, self._pause = url, 1 / rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go)
        self.times: list[float] = []

    def __enter__(self) -> "ClosedLoop":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _go(self) -> None:
        while not self._ended.wait(self._pause):
            began = time.monotonic()
            with urlopen(self._url, timeout=30) as answer:
                answer.read()
            self.times.append(time.monotonic() - began)

    @property
    def p95(self) -> float:
        return sorted(self.times)[int(len(self.times) * 0.95)]


@pytest.mark.parametrize(
    ("seconds", "stall"),
    [pytest.param(2.5, 0.5, id="short"), pytest.param(10, 2, id="two-seconds", marks=pytest.mark.deep)],
)
def test_a_frozen_server_is_seen_in_p95_and_a_closed_loop_hides_it(
    start: Start, seconds: float, stall: float
) -> None:
    server = start("echo")
    url = server.url + "/"
    options = ("-s", "constant:100", "-d", f"{seconds:g}", "--window", "0.05", "-q")
    with Generator(url, *options) as generator, ClosedLoop(url, 100) as closed:
        assert generator.next().kind == "started"
        generator.wait_until(seconds / 5)
        with frozen(server):
            generator.wait_until(stall)
        last = generator.end()
    response = last.labels[""].response_time.percentile(95)
    assert response is not None
    assert (last.account.scheduled, last.account.dropped) == (seconds * 100, 0)
    assert response > stall / 2
    assert max(closed.times) > stall / 2  # it met the stall, once
    assert closed.p95 < stall / 2
