"""Time as a parameter: who looks at a clock takes it as an argument, so that tests pass years in a second."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""The time now, with its zone (UTC)."""


def utc_now() -> datetime:
    """The time now in UTC."""
    return datetime.now(UTC)
