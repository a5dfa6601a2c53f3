"""The duty of a first process: pilot-agent is PID 1 of its container, and whatever loses its parent there
(what `kubectl exec` left behind, for instance) becomes its child. Envoy's own end is its supervisor's.
"""

import asyncio
import os
import signal


def adopt(envoy: int) -> None:
    """Let go of every ended child but `envoy` from now on. Needs a running event loop."""

    def let_go() -> None:
        while (ended := _ended()) not in {None, envoy}:
            assert ended is not None
            os.waitpid(ended, 0)

    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, let_go)
    let_go()


def _ended() -> int | None:
    """A child that has ended, left as it is."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None
