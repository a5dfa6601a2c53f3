"""By what requests are hashed, where a destination wants the same key at the same instance."""

from envoy.config.route.v3 import route_components_pb2

from mesh.api.networking.balancing import ConsistentHash, HTTPCookie
from mesh.pilot.compile.messages import seconds

HashPolicy = route_components_pb2.RouteAction.HashPolicy


def hash_policy(settings: ConsistentHash | None) -> list[route_components_pb2.RouteAction.HashPolicy]:
    """The route's hash policy; empty if there is none."""
    if settings is None:
        return []
    if settings.http_header_name is not None:
        return [HashPolicy(header=HashPolicy.Header(header_name=settings.http_header_name))]
    if settings.http_cookie is not None:
        return [HashPolicy(cookie=cookie(settings.http_cookie))]
    if settings.use_source_ip:
        return [HashPolicy(connection_properties=HashPolicy.ConnectionProperties(source_ip=True))]
    if settings.http_query_parameter_name is not None:
        name = settings.http_query_parameter_name
        return [HashPolicy(query_parameter=HashPolicy.QueryParameter(name=name))]
    return []


def cookie(settings: HTTPCookie) -> route_components_pb2.RouteAction.HashPolicy.Cookie:
    """A cookie to hash by; with a lifetime, Envoy makes it where it is missing."""
    result = HashPolicy.Cookie(name=settings.name, path=settings.path)
    if settings.ttl is not None:
        result.ttl.CopyFrom(seconds(settings.ttl))
    return result
