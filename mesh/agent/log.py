"""The agent's own lines among Envoy's."""

import sys


def say(text: str) -> None:
    """A line of the agent's log, told apart from Envoy's."""
    print(f"pilot-agent: {text}", file=sys.stderr, flush=True)
