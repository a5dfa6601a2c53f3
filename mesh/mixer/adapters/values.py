"""Values of attributes as text, number and JSON, the same for all adapters that write them somewhere."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any


def text(value: Any) -> str:
    """A value as a label or a field of a line."""
    if isinstance(value, str):
        return value
    found = plain(value)
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)


def plain(value: Any) -> Any:
    """A value that JSON has: addresses, times and durations as text, as classic Mixer writes them."""
    if isinstance(value, bytes):
        return str(ip_address(value)) if len(value) in (4, 16) else value.hex()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds() * 1000:.6g}ms"
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def number(value: Any) -> float:
    """A value as a number, durations in seconds; raises ValueError for what is none."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or value is None:
        return float(bool(value))
    return float(value)
