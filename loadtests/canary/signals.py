"""Ctrl-C, SIGTERM and a closed terminal: all end a rollout in the same way; none disturbs its roll back."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def terminable() -> Iterator[None]:
    """All raise KeyboardInterrupt, as Ctrl-C does, but once: a second one must not stop the leaving.

    In the main thread only.
    """
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextmanager
def deferred(say: Callable[[str], None]) -> Iterator[None]:
    """Signals do nothing but tell that the rule is being put back (outside of `terminable`)."""

    def tell(_number: int, _frame: FrameType | None) -> None:
        say("the rule is being put back: wait for it")

    with _handled(tell):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
