"""The open-loop generator in its own process (two for a header step); its lines, read as they come."""

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from loadtests.canary.errors import CanaryError
from loadtests.canary.rollout import Load
from loadtests.canary.route import BASELINE, CANARY, SIDE
from loadtests.openloop.lines import UNKNOWN, AnyLine, Ended, NoLineError, read

END_SECONDS = 15.0  # for what is under way at the end
WINDOW = 1.0  # seconds of one line


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What one generator sends: `schedule` for `seconds` to `url`."""

    url: str
    schedule: str
    seconds: float
    load: Load
    headers: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        """The process's arguments."""
        label = self.load.label or f"header:{SIDE}"
        words = [sys.executable, "-m", "loadtests.openloop", self.url, "--lines", "--quiet"]
        words += ["--schedule", self.schedule, "--duration", f"{self.seconds:g}", "--label", label]
        words += ["--workers", str(self.load.workers), "--timeout", f"{self.load.timeout:g}"]
        words += ["--window", f"{WINDOW:g}", "--grace", f"{min(self.load.timeout, END_SECONDS):g}"]
        for name, value in {**self.load.headers, **self.headers}.items():
            words += ["--header", f"{name}: {value}"]
        return words

    def side_of(self, label: str) -> str:
        """Which side an answer's label means; what neither says is unknown."""
        names = {self.load.baseline: BASELINE, self.load.canary: CANARY} if self.load.label else {}
        names |= {} if self.load.label else {BASELINE: BASELINE, CANARY: CANARY}
        return names.get(label, UNKNOWN)


class Generators:
    """Runs the processes of some jobs; a context. None of them outlives it."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self._lines: queue.Queue[tuple[Job, AnyLine | CanaryError]] = queue.Queue()
        self._processes: list[subprocess.Popen[str]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Generators":
        for job in self.jobs:
            # A session of its own: Ctrl-C of the terminal is ours to handle.
            process = subprocess.Popen(
                job.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            thread = threading.Thread(target=self._follow, args=(job, process), daemon=True)
            self._processes.append(process)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        for process, thread in zip(self._processes, self._threads, strict=True):
            process.wait()
            thread.join()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()

    def next(self, timeout: float) -> tuple[Job, AnyLine] | None:
        """The next line; None if none came in `timeout` seconds. `CanaryError` if a generator failed."""
        try:
            job, line = self._lines.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(line, CanaryError):
            raise line
        return job, line

    def _follow(self, job: Job, process: "subprocess.Popen[str]") -> None:
        ended = False
        assert process.stdout and process.stderr
        for text in process.stdout:
            line = _line(text)
            ended = ended or isinstance(line, Ended)
            self._lines.put((job, line))
        if not ended:
            self._lines.put((job, _died(process.stderr, process.wait())))


def _line(text: str) -> AnyLine | CanaryError:
    try:
        return read(text)
    except NoLineError as error:
        return CanaryError(str(error))


def _died(stderr: IO[str], code: int) -> CanaryError:
    words = stderr.read().strip()[-500:] or "it said nothing"
    return CanaryError(
        f"the generator ended with {code} before its time: {words}", remedy="see the spec.load"
    )
