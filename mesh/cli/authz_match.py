"""Conditions of Envoy's RBAC, as its config dump shows them, evaluated for a request that somebody describes.

Works on plain JSON, so that it needs nothing of the control plane: what is explained is what Envoy holds.
Source: Envoy's `config.rbac.v3`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

SPIFFE = "spiffe://"
SIDES = ("permissions", "principals")
JWT_FILTER = "envoy.filters.http.jwt_authn"


@dataclass(frozen=True, slots=True)
class Request:
    """What a request is, as far as it is known. `principal` has no scheme; empty is no certificate."""

    method: str = "GET"
    path: str = "/"
    host: str = ""
    port: int = 0
    principal: str = ""
    source_ip: str = ""
    remote_ip: str = ""
    destination_ip: str = ""
    server_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    claims: Json | None = None

    def header(self, name: str) -> str | None:
        """A header, or what HTTP/2 has as one; None if it is not there."""
        pseudo = {":method": self.method, ":path": self.path, ":authority": self.host}
        named = {key.lower(): value for key, value in self.headers.items()}
        return pseudo.get(name.lower(), named.get(name.lower()))


def holds(condition: Json, request: Request) -> bool:
    """Whether a permission or a principal holds. One that is not known never does."""
    for kind, judge in JUDGES.items():
        if kind in condition:
            return judge(condition[kind], request)
    return False


def policy_holds(policy: Json, request: Request) -> bool:
    """Whether a rule matches: one of its permissions, and one of its principals."""
    return all(any(holds(each, request) for each in policy.get(side, ())) for side in SIDES)


def failing(policy: Json, request: Request) -> list[Json]:
    """What does not hold, of the alternative that comes nearest, of both sides."""
    found: list[Json] = []
    for side in SIDES:
        missed = [lacking(one, request) for one in policy.get(side, ())]
        nearest: list[Json] = min(missed, key=len) if missed else []
        found.extend(nearest)
    return found


def lacking(condition: Json, request: Request) -> list[Json]:
    """The parts of a condition that do not hold."""
    return [each for each in parts(condition) if not holds(each, request)]


def parts(condition: Json) -> list[Json]:
    """The conditions that must all hold."""
    every = condition.get("and_rules", {}).get("rules") or condition.get("and_ids", {}).get("ids")
    return list(every) if every else [condition]


def some(name: str, how: Callable[[Any], bool]) -> Callable[[Json, Request], bool]:
    """A judge of a list of conditions."""
    return lambda value, request: how(holds(each, request) for each in value.get(name, ()))


def text(matcher: Json, found: str) -> bool:
    """A StringMatcher."""
    fold = str.lower if matcher.get("ignore_case") else str
    for kind, judge in (("exact", str.__eq__), ("prefix", str.startswith), ("suffix", str.endswith)):
        if kind in matcher:
            return bool(judge(fold(found), fold(matcher[kind])))
    if "safe_regex" in matcher:
        return re.fullmatch(matcher["safe_regex"]["regex"], found, re.DOTALL) is not None
    return matcher.get("contains", "\0") in found


def header(matcher: Json, request: Request) -> bool:
    """A HeaderMatcher."""
    found = request.header(matcher["name"])
    if "present_match" in matcher:
        return (found is not None) is bool(matcher["present_match"])
    return found is not None and text(matcher.get("string_match", {}), found)


def within(block: Json, address: str) -> bool:
    """A CidrRange; an address that is not known is in none."""
    if not address:
        return False
    network = ipaddress.ip_network(f"{block['address_prefix']}/{block.get('prefix_len', 0)}", strict=False)
    return ipaddress.ip_address(address) in network


def template(config: Json, request: Request) -> bool:
    """A template of a path."""
    pieces = re.split(r"(\*\*?)", config["typed_config"]["path_template"])
    form = "".join({"*": "[^/]+", "**": ".*"}.get(piece, re.escape(piece)) for piece in pieces)
    return re.fullmatch(form, bare(request.path)) is not None


def bare(path: str) -> str:
    """A path without query and fragment."""
    return re.split(r"[?#]", path, maxsplit=1)[0]


def metadata(matcher: Json, request: Request) -> bool:
    """What the filter of tokens has left; of other filters nothing is known."""
    if matcher.get("filter") != JWT_FILTER or request.claims is None:
        return False
    found: Any = {"payload": request.claims}
    for segment in matcher.get("path", ()):
        found = found.get(segment.get("key")) if isinstance(found, Mapping) else None
    return value(matcher.get("value", {}), found)


def value(matcher: Json, found: Any) -> bool:
    """A ValueMatcher."""
    if "or_match" in matcher:
        return any(value(each, found) for each in matcher["or_match"].get("value_matchers", ()))
    if "list_match" in matcher:
        return isinstance(found, list) and any(value(matcher["list_match"]["one_of"], each) for each in found)
    return isinstance(found, str) and text(matcher.get("string_match", {}), found)


JUDGES: Mapping[str, Callable[[Any, Request], bool]] = {
    "any": lambda value, request: bool(value),
    "and_rules": some("rules", all),
    "or_rules": some("rules", any),
    "not_rule": lambda value, request: not holds(value, request),
    "and_ids": some("ids", all),
    "or_ids": some("ids", any),
    "not_id": lambda value, request: not holds(value, request),
    "header": header,
    "url_path": lambda value, request: text(value["path"], bare(request.path)),
    "uri_template": template,
    "destination_ip": lambda value, request: within(value, request.destination_ip),
    "destination_port": lambda value, request: value == request.port,
    "requested_server_name": lambda value, request: text(value, request.server_name),
    "metadata": metadata,
    "sourced_metadata": lambda value, request: metadata(value["metadata_matcher"], request),
    "authenticated": lambda value, request: (
        bool(request.principal) and text(value["principal_name"], SPIFFE + request.principal)
    ),
    "direct_remote_ip": lambda value, request: within(value, request.source_ip),
    "remote_ip": lambda value, request: within(value, request.remote_ip or request.source_ip),
}
