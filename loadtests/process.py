"""A generator of load in a process of its own: what it uses of a processor is not the caller's."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(command: Sequence[str]) -> int:
    """Run it to its end and give its exit code; signals that end us end it, and are waited out.

    It has a session of its own, so that Ctrl-C reaches it once and not twice: generators take a second
    signal for haste.
    """
    with (
        subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as process,
        _handed_on_to(process),
    ):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _handed_on_to(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    def hand_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
