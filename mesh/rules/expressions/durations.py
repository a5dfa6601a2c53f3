"""Durations as Go writes them: `10ms`, `1h30m`, `-1.5s`, `0`.

Source: Go's time.ParseDuration, by which Mixer reads string literals.
"""

import re
from datetime import timedelta
from decimal import Decimal

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|us|µs|μs|ns|m|s)", re.ASCII)
_WHOLE = re.compile(r"[-+]?(?:(?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:h|ms|us|µs|μs|ns|m|s)){1,12}", re.ASCII)
_UNITS = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
LONGEST = Decimal(2**63 - 1) / Decimal(10**9)
"""Seconds: what 64 bits of nanoseconds hold, about 292 years."""


def duration(text: object) -> timedelta | None:
    """The duration that a string says, to the microsecond, or None."""
    if text in ("0", "+0", "-0"):
        return timedelta()
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        return None
    found = sum((Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text)), Decimal())
    if found > LONGEST:
        return None
    micros = int(found * 10**6)
    return timedelta(microseconds=-micros if text.startswith("-") else micros)
