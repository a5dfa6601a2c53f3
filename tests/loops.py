"""Event loops for tests that know their sockets: what a test leaves open fails that test, not a later one.

A connection over TLS is not closed when `close` returns: both sides still say goodbye. If the loop ends
before that, the garbage collector finds the transport during some other test. So a loop made here is ended
only when its selector watches nothing any more but the loop's own waking pipe.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 30.0
PAUSE = 0.001
GRPC = "PollerCompletionQueue"  # its pipe lives as long as any of its objects
ROUNDS = 3  # a transport that has left the selector is closed one round later; TLS adds another


class StillOpen(AssertionError):
    """Connections or listeners were left open; the message lists them."""


class WatchedLoop(asyncio.SelectorEventLoop):
    """A selector loop that can tell which sockets and pipes it still watches."""

    def __init__(self) -> None:
        self._watching = selectors.DefaultSelector()
        super().__init__(self._watching)
        self._own = set(self._watching.get_map() or ())

    def open_files(self) -> list[str]:
        """What it watches beside its own pipe and gRPC's: file number, and whose it is."""
        found = (self._watching.get_map() or {}).values()
        owners = {key.fd: _owner(key.data) for key in found if key.fd not in self._own}
        return [f"{file}: {owner}" for file, owner in owners.items() if GRPC not in owner]

    async def all_closed(self, patience: float = PATIENCE) -> None:
        """Return when nothing is open any more; `StillOpen` after `patience` seconds."""
        end = time.monotonic() + patience
        while left := self.open_files():
            if time.monotonic() > end:
                raise StillOpen(f"after {patience:g} s there are still open: " + "; ".join(left))
            await asyncio.sleep(PAUSE)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)


def run(main: Coroutine[Any, Any, T], *, patience: float = PATIENCE) -> T:
    """As `asyncio.run`, and `StillOpen` if the coroutine leaves something open that nobody is closing."""
    made: list[WatchedLoop] = []

    def make() -> WatchedLoop:
        made.append(WatchedLoop())
        return made[0]

    with asyncio.Runner(loop_factory=make) as runner:
        try:
            result = runner.run(main)
        except BaseException:
            _let_go(runner, made, patience)
            raise
        runner.run(made[0].all_closed(patience))
        return result


def _let_go(runner: asyncio.Runner, made: list[WatchedLoop], patience: float) -> None:
    """After a failure connections get their time too, but the failure is what counts."""
    if not made:
        return
    gc.collect()
    try:
        runner.run(made[0].all_closed(min(patience, 1.0)))
    except StillOpen:
        return


def _owner(data: Any) -> str:
    """The transports behind a registration (reader, writer)."""
    callbacks = [handle._callback for handle in data or () if handle is not None]
    return ", ".join(sorted({repr(getattr(each, "__self__", each)) for each in callbacks})) or "?"
