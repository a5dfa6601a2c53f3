"""Values of expressions as text, for labels and ledgers."""

from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any


def shown(value: Any) -> str:
    """A value as text.

    >>> shown(True), shown(bytes([10, 0, 0, 1])), shown(timedelta(seconds=1.5)), shown(200)
    ('true', '10.0.0.1', '1.5s', '200')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return address(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def address(value: bytes) -> str:
    """An IP address of 4 or 16 bytes; an IPv4 one within IPv6 as IPv4."""
    if len(value) not in {4, 16}:
        return value.hex()
    found = ip_address(value)
    return str(getattr(found, "ipv4_mapped", None) or found)
