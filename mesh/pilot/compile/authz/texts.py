"""The forms in which policies write texts: `*`, `*suffix`, `prefix*`, exact.

Source: Istio's reference of AuthorizationPolicy ("Exact match", "Prefix match", "Suffix match", "Presence
match").
"""

import re

from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

StringMatcher = string_pb2.StringMatcher
HeaderMatcher = route_components_pb2.HeaderMatcher

ANYTHING = "*"
SPIFFE = "spiffe://"


def text(value: str, *, ignore_case: bool = False) -> string_pb2.StringMatcher:
    """A text; `*` asks that there is one and that it is not empty."""
    if value == ANYTHING:
        return regex(".+")
    if value.startswith(ANYTHING):
        return StringMatcher(suffix=value[1:], ignore_case=ignore_case)
    if value.endswith(ANYTHING):
        return StringMatcher(prefix=value[:-1], ignore_case=ignore_case)
    return StringMatcher(exact=value, ignore_case=ignore_case)


def regex(pattern: str) -> string_pb2.StringMatcher:
    """A regular expression (RE2) for the whole text."""
    return StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=pattern))


def header(name: str, value: str, *, ignore_case: bool = False) -> route_components_pb2.HeaderMatcher:
    """A header; `*` asks that it is there, empty or not."""
    if value == ANYTHING:
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=text(value, ignore_case=ignore_case))


def identity(value: str) -> string_pb2.StringMatcher:
    """A peer's identity, which policies write without the scheme of its URI."""
    if value == ANYTHING:
        return text(value)
    if value.startswith(ANYTHING):
        return regex(f"{SPIFFE}.*{re.escape(value[1:])}")
    return text(SPIFFE + value)


def namespace(value: str) -> string_pb2.StringMatcher:
    """An identity of a namespace."""
    return regex(f".*/ns/{wildcards(value)}/.*")


def account(value: str, home: str) -> string_pb2.StringMatcher:
    """An identity of a service account, `namespace/name` or the name of one in the policy's namespace."""
    place, slash, name = value.rpartition("/")
    where = re.escape(place if slash else home)
    return regex(f"{SPIFFE}[^/]+/ns/{where}/sa/{re.escape(name)}")


def wildcards(value: str) -> str:
    """A text with `*` in it as a part of a regular expression."""
    return ".*".join(re.escape(part) for part in value.split(ANYTHING))
