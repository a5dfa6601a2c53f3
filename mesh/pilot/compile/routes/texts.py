"""Matching of texts and shares of requests, as rules write them and as Envoy wants them."""

from envoy.config.core.v3 import base_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import percent_pb2

from mesh.api.networking.faults import Percent
from mesh.api.networking.matches import HeaderMatch, StringMatch

MILLION = 10_000
"""Parts of a million in one percent."""


def text(match: StringMatch | HeaderMatch, *, ignore_case: bool = False) -> string_pb2.StringMatcher:
    """A matcher of exact text, prefix or regular expression."""
    if match.exact is not None:
        return string_pb2.StringMatcher(exact=match.exact, ignore_case=ignore_case)
    if match.prefix is not None:
        return string_pb2.StringMatcher(prefix=match.prefix, ignore_case=ignore_case)
    return string_pb2.StringMatcher(safe_regex=regex(match.regex or ""))


def any_text(match: StringMatch | HeaderMatch) -> bool:
    """Whether it asks only that something is there: no condition, or Istio's `regex: "*"`."""
    return match.regex == "*" or (match.exact is None and match.prefix is None and match.regex is None)


def regex(pattern: str) -> regex_pb2.RegexMatcher:
    """A regular expression (RE2)."""
    return regex_pb2.RegexMatcher(regex=pattern)


def percent(value: float) -> percent_pb2.FractionalPercent:
    """A percentage, exact to a ten-thousandth of a percent."""
    return percent_pb2.FractionalPercent(
        numerator=round(value * MILLION),
        denominator=percent_pb2.FractionalPercent.MILLION,
    )


def share(percentage: Percent | None, whole: int | None = None) -> base_pb2.RuntimeFractionalPercent | None:
    """What part of requests something holds for: all if nothing is said, None if it holds for none."""
    value = percentage.value if percentage else 100.0 if whole is None else float(whole)
    return base_pb2.RuntimeFractionalPercent(default_value=percent(value)) if value else None
