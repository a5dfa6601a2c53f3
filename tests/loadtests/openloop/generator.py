"""The generator as a process of its own, and its lines as they come."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

from loadtests.openloop.lines import AnyLine, Ended, Window, read


class Generator:
    """`python -m loadtests.openloop` with arguments, told nothing but what they say."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.openloop", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.output, self.process.stderr):
            if stream:
                stream.close()

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout
        return self.process.stdout

    def lines(self) -> Iterator[AnyLine]:
        """As they come, until it ends."""
        return map(read, self.output)

    def next(self) -> AnyLine:
        return next(self.lines())

    def wait_until(self, seconds: float) -> None:
        """Return with the first window that ended so long after the start."""
        begin = None
        for line in self.lines():
            begin = begin or line.start
            if isinstance(line, Window) and line.end - begin >= seconds:
                return
        raise AssertionError("it ended before that")

    def end(self) -> Ended:
        """Its last line."""
        *_, last = self.lines()
        assert isinstance(last, Ended)
        return last

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit(self) -> tuple[int, str]:
        """Code and what it said for people."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said
