"""Conditions of Envoy's RBAC in words."""

from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]


def said(condition: Json) -> str:
    """A condition in words.

    >>> said({"not_rule": {"header": {"name": ":method", "string_match": {"exact": "GET"}}}})
    "not (:method is 'GET')"
    """
    for kind, words in WORDS.items():
        if kind in condition:
            return words(condition[kind])
    return ", ".join(condition) or "nothing"


def joined(name: str, word: str) -> Callable[[Json], str]:
    """Several conditions."""
    return lambda value: f" {word} ".join(said(each) for each in value.get(name, ()))


def text(matcher: Json) -> str:
    """A StringMatcher in words."""
    for kind, words in (("exact", "is"), ("prefix", "begins with"), ("suffix", "ends with")):
        if kind in matcher:
            return f"{words} {matcher[kind]!r}"
    pattern = matcher.get("safe_regex", {}).get("regex", "")
    return "is not empty" if pattern == ".+" else f"matches {pattern!r}"


def header(matcher: Json) -> str:
    """A HeaderMatcher in words."""
    wanted = "is there" if "present_match" in matcher else text(matcher.get("string_match", {}))
    return f"{matcher['name']} {wanted}"


def block(value: Json) -> str:
    """A range of addresses."""
    return f"in {value['address_prefix']}/{value.get('prefix_len', 0)}"


def metadata(matcher: Json) -> str:
    """What another filter has left, in words; claims by their names."""
    keys = [each.get("key", "") for each in matcher.get("path", ())]
    name = (
        f"claim {'.'.join(keys[1:])}"
        if keys[:1] == ["payload"]
        else f"{matcher.get('filter')} {'.'.join(keys)}"
    )
    return f"{name} {value(matcher.get('value', {}))}"


def value(matcher: Json) -> str:
    """A ValueMatcher in words."""
    if "or_match" in matcher:
        every = matcher["or_match"].get("value_matchers", ())
        return " or ".join(dict.fromkeys(value(each) for each in every))
    if "list_match" in matcher:
        return value(matcher["list_match"].get("one_of", {}))
    return text(matcher.get("string_match", {}))


WORDS: Mapping[str, Callable[[Any], str]] = {
    "any": lambda value: "anything",
    "and_rules": joined("rules", "and"),
    "or_rules": joined("rules", "or"),
    "not_rule": lambda value: f"not ({said(value)})",
    "and_ids": joined("ids", "and"),
    "or_ids": joined("ids", "or"),
    "not_id": lambda value: f"not ({said(value)})",
    "header": header,
    "url_path": lambda value: f"path {text(value['path'])}",
    "uri_template": lambda value: f"path like {value['typed_config']['path_template']!r}",
    "destination_ip": lambda value: f"called address {block(value)}",
    "destination_port": lambda value: f"port is {value}",
    "requested_server_name": lambda value: f"SNI {text(value)}",
    "metadata": metadata,
    "sourced_metadata": lambda value: metadata(value["metadata_matcher"]),
    "authenticated": lambda value: f"caller {text(value['principal_name'])}",
    "direct_remote_ip": lambda value: f"source address {block(value)}",
    "remote_ip": lambda value: f"remote address {block(value)}",
}
