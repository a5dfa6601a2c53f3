"""The agent's own lines among Envoy's."""

import logging
import os
import sys

PREFIX = "pilot-agent: "


def configure() -> None:
    """Write what the shared parts log as the agent's own lines; keep gRPC quiet, whose failures we report."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is imported
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{PREFIX}%(message)s"))
    logger = logging.getLogger("mesh")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def say(text: str) -> None:
    """A line of the agent's log, told apart from Envoy's."""
    print(f"{PREFIX}{text}", file=sys.stderr, flush=True)
