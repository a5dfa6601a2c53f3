"""VirtualService: which requests go where, and what happens to them on the way.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

import ipaddress
from collections.abc import Iterator
from typing import Literal

from mesh.api.base import (
    Count,
    Duration,
    HeaderName,
    Host,
    Model,
    Percentage,
    Port,
    PositiveDuration,
    Regex,
    Whole,
    at_most_one,
    exactly_one,
)
from mesh.api.checks import Fault, advise, check
from mesh.api.networking.names import bad_export, bad_gateways
from mesh.api.networking.reach import unreachable
from mesh.api.selector import bad_labels

MESH_GATEWAY = "mesh"
TOTAL_WEIGHT = 2**32 - 1
# Envoy's conditions for retries of HTTP and gRPC (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
RETRY_ON = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited",
        "retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers",
        "http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal", "resource-exhausted",
        "unavailable",
    }
)  # fmt: skip


class StringMatch(Model):
    """One of `exact`, `prefix`, `regex` (the whole text must match; RE2)."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "exact", "prefix", "regex")
        if self.prefix == "":
            raise ValueError("prefix must not be empty")


class HeaderMatch(Model):
    """A StringMatch, or nothing at all, which asks only that the header is there."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "exact", "prefix", "regex")


class PortSelector(Model):
    """A port of the destination."""

    number: Port


class Destination(Model):
    """A service, perhaps one subset or port of it."""

    host: Host
    subset: str | None = None
    port: PortSelector | None = None

    @check
    def _one_host(self) -> Iterator[Fault]:
        if "*" in self.host:
            yield Fault("host", f"{self.host!r} is a wildcard", "a destination is one service")


class HeaderOperations(Model):
    """What happens to headers: set, add, remove, in this order of names."""

    set: dict[HeaderName, str] = {}
    add: dict[HeaderName, str] = {}
    remove: tuple[HeaderName, ...] = ()


class Headers(Model):
    """Header operations on the request and on the response."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class Percent(Model):
    """A percentage, 0 to 100, with fractions."""

    value: float = 0.0

    @check
    def _range(self) -> None:
        if not 0 <= self.value <= 100:
            raise ValueError(f"{self.value} is not a percentage (0-100)")


class HTTPMatchRequest(Model):
    """All conditions of one match must hold; of several matches, one."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[HeaderName, HeaderMatch] = {}
    without_headers: dict[HeaderName, HeaderMatch] = {}
    query_params: dict[str, StringMatch] = {}
    port: Port | None = None
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    ignore_uri_case: bool = False
    stat_prefix: str = ""

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_labels(self.source_labels, "sourceLabels")
        yield from bad_gateways(self.gateways)


class HTTPRouteDestination(Model):
    """A destination and its share of the requests."""

    destination: Destination
    weight: Whole = 0
    headers: Headers | None = None

    @check
    def _weight(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative")


class RegexRewrite(Model):
    """A regular expression over the path, and what its match becomes (`\\1` for groups)."""

    match: Regex
    rewrite: str


class HTTPRewrite(Model):
    """What path and authority become before the request is sent on."""

    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "uri", "uri_regex_rewrite")
        if self.uri is None and self.authority is None and self.uri_regex_rewrite is None:
            raise ValueError("one of uri, authority, uriRegexRewrite must be set")


class HTTPRedirect(Model):
    """An answer that sends the caller elsewhere."""

    uri: str | None = None
    authority: str | None = None
    port: Port | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str | None = None
    redirect_code: Whole = 301

    @check
    def _content(self) -> None:
        at_most_one(self, "port", "derive_port")
        if self.redirect_code not in {301, 302, 303, 307, 308}:
            raise ValueError(f"redirectCode is {self.redirect_code}; it must be 301, 302, 303, 307 or 308")


class HTTPBody(Model):
    """The body of a direct response."""

    string: str | None = None
    bytes: str | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "string", "bytes")


class HTTPDirectResponse(Model):
    """An answer that the proxy gives itself."""

    status: Whole
    body: HTTPBody | None = None

    @check
    def _status(self) -> None:
        if not 200 <= self.status < 600:
            raise ValueError(f"status is {self.status}; it must be 200-599")


class HTTPRetry(Model):
    """How often, when and for how long a failed request is tried again."""

    attempts: Count = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Duration | None = None

    @check
    def _per_try(self) -> Iterator[Fault]:
        if self.per_try_timeout is not None and 0 < self.per_try_timeout < 0.001:
            yield Fault("perTryTimeout", "is too short; it must be at least 1ms")

    @check
    def _conditions(self) -> None:
        for word in filter(None, (part.strip() for part in self.retry_on.split(","))):
            if word not in RETRY_ON and not (word.isdecimal() and 100 <= int(word) < 600):
                raise ValueError(f"retryOn has {word!r}; use {', '.join(sorted(RETRY_ON))}, or status codes")


class Delay(Model):
    """Requests are held back for `fixedDelay`."""

    fixed_delay: PositiveDuration
    percentage: Percent | None = None
    percent: Percentage | None = None


class Abort(Model):
    """Requests are answered with an error."""

    http_status: Whole | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "http_status", "grpc_status", "http2_error")
        if self.http_status is not None and not 200 <= self.http_status < 600:
            raise ValueError(f"httpStatus is {self.http_status}; it must be 200-599")


class HTTPFaultInjection(Model):
    """Faults on purpose."""

    delay: Delay | None = None
    abort: Abort | None = None

    @check
    def _some(self) -> None:
        if self.delay is None and self.abort is None:
            raise ValueError("one of delay, abort must be set")


class HTTPMirrorPolicy(Model):
    """A copy of the requests goes elsewhere; its answers are thrown away."""

    destination: Destination
    percentage: Percent | None = None


class CorsPolicy(Model):
    """Cross-origin resource sharing."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_origin: tuple[str, ...] = ()  # the older form: exact origins, or '*'
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] | None = None

    @check
    def _one_form(self) -> Iterator[Fault]:
        if self.allow_origin and self.allow_origins:
            yield Fault("", "only one of allowOrigin, allowOrigins may be set")


class Delegate(Model):
    """Another VirtualService that says the rest."""

    name: str = ""
    namespace: str = ""


class HTTPRoute(Model):
    """The first route with a match that holds is taken."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: Percentage | None = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    @check
    def _one_kind(self) -> None:
        kinds = [name for name in ("route", "redirect", "direct_response", "delegate") if getattr(self, name)]
        if len(kinds) != 1:
            raise ValueError(
                f"exactly one of route, redirect, directResponse, delegate must be set, not {kinds or 'none'}"
            )

    @check
    def _combinations(self) -> Iterator[Fault]:
        if self.redirect and self.rewrite:
            yield Fault("rewrite", "a redirect cannot be rewritten", "leave out rewrite")

    @check
    def _weights(self) -> None:
        check_weights([each.weight for each in self.route])

    @check
    def _mirrors(self) -> Iterator[Fault]:
        if self.mirror and self.mirrors:
            yield Fault("", "only one of mirror, mirrors may be set")
        if self.mirror_percent is not None and self.mirror_percentage is not None:
            yield Fault("", "only one of mirrorPercent, mirrorPercentage may be set")

    @advise
    def _retries(self) -> Iterator[Fault]:
        tries = self.retries
        if tries and self.timeout and tries.per_try_timeout and tries.per_try_timeout > self.timeout:
            message = f"{tries.per_try_timeout:g}s is longer than timeout, so there is no second try"
            yield Fault("retries.perTryTimeout", message, "make it shorter than timeout")


class L4MatchAttributes(Model):
    """Conditions on a TCP connection."""

    destination_subnets: tuple[str, ...] = ()
    port: Port | None = None
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_labels(self.source_labels, "sourceLabels")
        yield from bad_gateways(self.gateways)
        for index, each in enumerate(self.destination_subnets):
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                remedy = "write an IP address or a range like 10.0.0.0/8"
                yield Fault(f"destinationSubnets[{index}]", f"{each!r} is no range of addresses", remedy)


class TLSMatchAttributes(L4MatchAttributes):
    """Conditions on a TLS connection, seen from outside."""

    sni_hosts: tuple[Host, ...]


class RouteDestination(Model):
    """A destination and its share of the connections."""

    destination: Destination
    weight: Whole = 0


class TCPRoute(Model):
    """Where TCP connections go."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...]

    @check
    def _weights(self) -> None:
        check_weights([each.weight for each in self.route])


class TLSRoute(TCPRoute):
    """Where TLS connections go, by SNI."""

    match: tuple[TLSMatchAttributes, ...]


class VirtualService(Model):
    """The rules for some hosts, for sidecars (`mesh`, the default) and gateways."""

    hosts: tuple[Host, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()

    @check
    def _hosts(self) -> Iterator[Fault]:
        for index, each in enumerate(self.hosts):
            if each in self.hosts[:index]:
                yield Fault(f"hosts[{index}]", f"{each!r} stands twice", "leave one out")
        if "*" in self.hosts and (not self.gateways or MESH_GATEWAY in self.gateways):
            yield Fault("", "host '*' is only for gateways; name them in gateways, without 'mesh'")
        if not self.hosts and self.gateways:
            yield Fault("hosts", "is empty", "name at least one host")

    @check
    def _routes(self) -> Iterator[Fault]:
        if not (self.http or self.tls or self.tcp):
            yield Fault("", "one of http, tls, tcp must have a route")

    @check
    def _names(self) -> Iterator[Fault]:
        yield from bad_export(self.export_to)
        yield from bad_gateways(self.gateways)

    @advise
    def _sni(self) -> Iterator[Fault]:
        for i, route in enumerate(self.tls):
            for j, match in enumerate(route.match):
                for k, name in enumerate(match.sni_hosts):
                    if not any(within(name, each) for each in self.hosts):
                        path = f"tls[{i}].match[{j}].sniHosts[{k}]"
                        yield Fault(
                            path,
                            f"{name!r} is not among hosts, so others may take it",
                            f"hosts are {', '.join(self.hosts)}",
                        )

    @advise
    def _unreachable(self) -> Iterator[Fault]:
        yield from unreachable(self.http)

    @advise
    def _other_gateways(self) -> Iterator[Fault]:
        known = set(self.gateways or (MESH_GATEWAY,))
        for i, route in enumerate(self.http):
            for j, match in enumerate(route.match):
                other = sorted(set(match.gateways) - known)
                if other:
                    path, remedy = f"http[{i}].match[{j}].gateways", "name it in spec.gateways as well"
                    yield Fault(path, f"{other[0]!r} is not in spec.gateways, so it never matches", remedy)

    @advise
    def _nobody(self) -> Iterator[Fault]:
        if not self.hosts and not self.gateways:
            yield Fault("hosts", "is empty: only a route that delegates to it could use it", "name a host")


def within(name: str, wider: str) -> bool:
    """Whether a host, perhaps a wildcard, is covered by another."""
    return wider in (name, "*") or (wider.startswith("*.") and name.endswith(wider[1:]))


def check_weights(weights: list[int]) -> None:
    """Raise ValueError unless the shares of several destinations mean something."""
    if len(weights) > 1 and sum(weights) == 0:
        raise ValueError("the weights of the destinations add up to 0; at least one must be above 0")
    if sum(weights) > TOTAL_WEIGHT:
        raise ValueError(f"the weights add up to {sum(weights)}; Envoy takes {TOTAL_WEIGHT} at the most")
