"""The attributes that generated policies ask for: where each is written, and what it is in a call."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.pilot.authz.calls import Call, Workload

FORMS = ("exact", "prefix", "suffix", "presence")
BLOCKS = ("address", "block")
EXACT = ("exact",)
PATHS = (*FORMS, "one", "any")

Value = Callable[[Call, Workload], Any]


@dataclass(frozen=True)
class Attribute:
    """`section` is `source`, `operation` or `when`; `value` gives what it is in a call: a text, a tuple of
    texts, or None. `others` are texts that it might be.
    """

    section: str
    key: str
    forms: tuple[str, ...]
    value: Value
    others: tuple[str, ...]
    http_only: bool = False

    @property
    def negative(self) -> str:
        """The name of the negation of a field."""
        return f"not{self.key[0].upper()}{self.key[1:]}"


def named(container: str, key: str) -> Value:
    return lambda call, at: getattr(call, container).get(key)


def claim(*path: str) -> Value:
    def value(call: Call, at: Workload) -> Any:
        found: Any = call.token.claims if call.token else None
        for each in path:
            found = found.get(each) if isinstance(found, Mapping) else None
        if path[0] == "scope" and isinstance(found, str):
            found = found.split()
        return tuple(found) if isinstance(found, list) else found

    return value


def part(number: int) -> Value:
    return lambda call, at: call.identity.split("/")[number] if call.identity else None


def account(call: Call, at: Workload) -> Any:
    if call.identity is None:
        return None
    _, _, namespace, _, name = call.identity.split("/")
    return f"{namespace}/{name}"


def request_principal(call: Call, at: Workload) -> Any:
    claims = call.token.claims if call.token else {}
    return f"{claims['iss']}/{claims['sub']}" if "iss" in claims and "sub" in claims else None


def remote(call: Call, at: Workload) -> str:
    return (call.forwarded or call.source).rpartition(",")[2].strip() if not call.tcp else call.source


IDENTITIES = (
    "cluster.local/ns/weather/sa/frontend",
    "old.example/ns/weather/sa/frontend",
    "cluster.local/ns/weather-dev/sa/ads",
    "other.example/ns/prod/sa/frontend",
)
ADDRESSES = ("127.2.0.1", "127.2.0.77", "127.2.9.5", "127.3.0.1")
REMOTES = ("203.0.113.7", "203.0.113.200", "198.51.100.9", "2001:db8::7")
NAMESPACES = ("weather", "weather-dev", "prod", "test")
ACCOUNTS = ("weather/frontend", "weather-dev/ads", "prod/frontend", "weather/ads")
PRINCIPALS = ("https://id.example/alice", "testing@secure/bob", "https://id.example/carol", "nobody/x")
NAMES = ("api.example.com", "www.example.com", "outbound_.3002_._.forecast", "api.example.org")
HOSTS = ("forecast", "Forecast.Example.com", "api.example.com:8080", "api.example.com")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
UNITS = ("u-1", "u-2", "u-9")
WAYS = ("/", "/api/v1/cities", "/api/v2/cities/oslo", "/static/app.js", "/admin", "/admin/users/7/edit")

ATTRIBUTES = (
    Attribute("source", "principals", FORMS, lambda c, at: c.identity, IDENTITIES),
    Attribute("source", "requestPrincipals", FORMS, request_principal, PRINCIPALS, http_only=True),
    Attribute("source", "namespaces", FORMS, part(2), NAMESPACES),
    Attribute("source", "serviceAccounts", EXACT, account, ACCOUNTS),
    Attribute("source", "ipBlocks", BLOCKS, lambda c, at: c.source, ADDRESSES),
    Attribute("source", "remoteIpBlocks", BLOCKS, remote, REMOTES),
    Attribute("operation", "hosts", FORMS, lambda c, at: c.host, HOSTS, http_only=True),
    Attribute("operation", "methods", FORMS, lambda c, at: c.method, METHODS, http_only=True),
    Attribute("operation", "paths", PATHS, lambda c, at: c.path.partition("?")[0], WAYS, http_only=True),
    Attribute("operation", "ports", EXACT, lambda c, at: str(at.ports[c.port]), ("1", "65535")),
    Attribute("when", "request.headers[x-user]", FORMS, named("headers", "x-user"), ("alice", "bob-2"), True),
    Attribute("when", "request.headers[X-Team]", FORMS, named("headers", "x-team"), ("blue-7", "red"), True),
    Attribute("when", "source.ip", BLOCKS, lambda c, at: c.source, ADDRESSES),
    Attribute("when", "remote.ip", BLOCKS, remote, REMOTES),
    Attribute("when", "source.namespace", FORMS, part(2), NAMESPACES),
    Attribute("when", "source.principal", FORMS, lambda c, at: c.identity, IDENTITIES),
    Attribute("when", "source.serviceAccount", EXACT, account, ACCOUNTS),
    Attribute("when", "request.auth.principal", FORMS, request_principal, PRINCIPALS, True),
    Attribute("when", "request.auth.audiences", FORMS, claim("aud"), ("web", "api", "batch", "none"), True),
    Attribute("when", "request.auth.presenter", FORMS, claim("azp"), ("client-1", "client-2"), True),
    Attribute("when", "request.auth.claims[team]", FORMS, claim("team"), ("blue-7", "red"), True),
    Attribute("when", "request.auth.claims[groups]", FORMS, claim("groups"), ("dev-1", "ops"), True),
    Attribute("when", "request.auth.claims[scope]", FORMS, claim("scope"), ("read", "write", "admin"), True),
    Attribute("when", "request.auth.claims[org][name]", FORMS, claim("org", "name"), ("acme", "corp"), True),
    Attribute("when", "request.auth.claims[org][units]", FORMS, claim("org", "units"), UNITS, True),
    Attribute("when", "destination.ip", BLOCKS, lambda c, at: at.address, ("127.9.0.1", "10.0.0.0")),
    Attribute("when", "destination.port", EXACT, lambda c, at: str(at.ports[c.port]), ("1", "65535")),
    Attribute("when", "connection.sni", FORMS, lambda c, at: c.server_name, NAMES),
    Attribute(
        "when", "experimental.envoy.filters.http.weather[kind]", FORMS,
        lambda c, at: None if c.tcp else c.metadata.get("kind"), ("gold-1", "silver"),
    ),
    Attribute(
        "when", "experimental.envoy.filters.http.weather[tags]", tuple(f"list {each}" for each in FORMS),
        lambda c, at: None if c.tcp else c.metadata.get("tags"), ("a-1", "b-2"),
    ),
)  # fmt: skip
"""Every key of Istio's AuthorizationPolicy."""


def written(form: str, value: str) -> str:
    """A value that matches `value`, in a form."""
    half = max(1, len(value) // 2)
    match form.removeprefix("list "):
        case "prefix":
            result = f"{value[:half]}*"
        case "suffix":
            result = f"*{value[-half:]}"
        case "presence":
            result = "*"
        case "block":
            result = str(ipaddress.ip_network(f"{value}/{64 if ':' in value else 24}", strict=False))
        case "one":
            result = f"{value.rpartition('/')[0]}/{{*}}"
        case "any":
            result = f"/{value.split('/')[1]}/{{**}}" if value.count("/") > 1 else "/{**}"
        case _:
            result = value
    return f"[{result}]" if form.startswith("list ") else result


def form_of(value: str, attribute: Attribute) -> str:
    """The form in which a value is written."""
    listed = "list " if attribute.forms[0].startswith("list ") else ""
    bare = value[1:-1] if listed else value
    if attribute.forms is BLOCKS:
        return "block" if "/" in bare else "address"
    for form, there in (
        ("one", "{*}" in bare), ("any", "{**}" in bare), ("presence", bare == "*"),
        ("prefix", bare.endswith("*")), ("suffix", bare.startswith("*")),
    ):  # fmt: skip
        if there:
            return listed + form
    return f"{listed}exact"
