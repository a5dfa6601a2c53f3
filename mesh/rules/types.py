"""The types of attributes and of expressions.

Source: Istio 1.6, policy.v1beta1 `ValueType`.
"""

from enum import StrEnum


class ValueType(StrEnum):
    """A type. Values are str, int, float, bool, datetime, bytes (addresses), str, timedelta, dict."""

    STRING = "STRING"
    INT64 = "INT64"
    DOUBLE = "DOUBLE"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    IP_ADDRESS = "IP_ADDRESS"
    EMAIL_ADDRESS = "EMAIL_ADDRESS"
    URI = "URI"
    DNS_NAME = "DNS_NAME"
    DURATION = "DURATION"
    STRING_MAP = "STRING_MAP"
