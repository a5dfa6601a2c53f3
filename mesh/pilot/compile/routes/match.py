"""HTTPMatchRequest as Envoy's match, and which matches concern a proxy at all.

Port, gateways and source are decided here, for each proxy; path, headers and query by Envoy, each time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2

from mesh.api.networking.matches import HeaderMatch, HTTPMatchRequest, L4MatchAttributes, StringMatch
from mesh.api.networking.virtual_service import MESH_GATEWAY
from mesh.pilot.compile.routes.texts import any_text, regex, text
from mesh.pilot.scope import Client

RouteMatch = route_components_pb2.RouteMatch
HeaderMatcher = route_components_pb2.HeaderMatcher
QueryMatcher = route_components_pb2.QueryParameterMatcher


@dataclass(frozen=True, slots=True)
class Place:
    """For whom and where routes are made: a client's port, and the gateway (`mesh` at a sidecar)."""

    client: Client
    port: int
    gateway: str = MESH_GATEWAY
    tls: bool = False


def concerns(match: HTTPMatchRequest | L4MatchAttributes, place: Place, namespace: str) -> bool:
    """Whether a match of a rule in `namespace` can hold at a place."""
    if match.port is not None and match.port != place.port:
        return False
    if match.gateways:
        return place.gateway in (qualified(name, namespace) for name in match.gateways)
    if not place.client.labels.matches(match.source_labels):
        return False
    return match.source_namespace in ("", place.client.namespace)


def qualified(gateway: str, namespace: str) -> str:
    """A gateway as `namespace/name`."""
    return gateway if gateway == MESH_GATEWAY or "/" in gateway else f"{namespace}/{gateway}"


def envoy_match(match: HTTPMatchRequest | None) -> route_components_pb2.RouteMatch:
    """What Envoy shall look at in each request; without conditions, everything matches."""
    if match is None:
        return RouteMatch(prefix="/")
    result = path_match(match.uri)
    if match.ignore_uri_case:
        result.case_sensitive.value = False
    result.headers.extend(headers(match.headers, match.without_headers))
    for name, condition in pseudo_headers(match):
        result.headers.append(header(name, condition))
    result.query_parameters.extend(
        query(name, match.query_params[name]) for name in sorted(match.query_params)
    )
    return result


def path_match(uri: StringMatch | None) -> route_components_pb2.RouteMatch:
    """The condition on the path."""
    if uri is None:
        return RouteMatch(prefix="/")
    if uri.exact is not None:
        return RouteMatch(path=uri.exact)
    if uri.prefix is not None:
        return RouteMatch(prefix=uri.prefix)
    return RouteMatch(safe_regex=regex(uri.regex or ""))


def headers(
    wanted: Mapping[str, HeaderMatch], unwanted: Mapping[str, HeaderMatch]
) -> list[route_components_pb2.HeaderMatcher]:
    """Conditions on headers, by name."""
    found = [header(name, wanted[name]) for name in wanted]
    for name in unwanted:
        matcher = header(name, unwanted[name])
        matcher.invert_match = True
        matcher.treat_missing_header_as_empty = not any_text(unwanted[name])
        found.append(matcher)
    return sorted(found, key=lambda each: (each.name, each.invert_match))


def header(name: str, condition: HeaderMatch | StringMatch) -> route_components_pb2.HeaderMatcher:
    """One condition on a header."""
    if any_text(condition):
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=text(condition))


def pseudo_headers(match: HTTPMatchRequest) -> Iterator[tuple[str, StringMatch]]:
    """Conditions on what HTTP/2 has as headers."""
    if match.method is not None:
        yield ":method", match.method
    if match.authority is not None:
        yield ":authority", match.authority
    if match.scheme is not None:
        yield ":scheme", match.scheme


def query(name: str, condition: StringMatch) -> route_components_pb2.QueryParameterMatcher:
    """One condition on a query parameter."""
    if any_text(condition):
        return QueryMatcher(name=name, present_match=True)
    return QueryMatcher(name=name, string_match=text(condition))


def matches_all(match: route_components_pb2.RouteMatch) -> bool:
    """Whether every request matches, so that routes after it are never reached."""
    everything = match.prefix == "/" or match.safe_regex.regex == ".*"
    return everything and not match.headers and not match.query_parameters
