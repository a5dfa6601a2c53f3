"""What the programs of the control plane have in common: run until asked to end, or say what went wrong."""

import asyncio
import errno
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

UNAVAILABLE = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
"""Why an address cannot be listened on."""


def run(name: str, work: Callable[[], Coroutine[Any, Any, None]], *, log_level: str = "info") -> None:
    """Run `work` until it ends, or until SIGTERM or SIGINT cancel it; both are a good end.

    Leaves the process with 1 and a message on standard error if the work fails.
    """
    from mesh.log import configure

    configure(log_level)
    try:
        asyncio.run(_until_asked(work))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(f"{name}: {explained(error, name)}")


async def _until_asked(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.ensure_future(work())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    # Not awaited directly: a cancellation that was asked for is no failure.
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def explained(error: BaseException, component: str) -> str:
    """The message of what went wrong first. A fault of ours is in the log as well."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in UNAVAILABLE:
        return f"{error.strerror}; free the port, or choose another"
    if type(error).__module__.startswith("mesh."):
        return str(error)
    import structlog

    structlog.get_logger(component=component).error("failed", exc_info=error)
    return f"{type(error).__name__}: {error}"
