"""The filter that checks tokens, made of all RequestAuthentications that apply to a workload."""

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.api.security import JWTRule
from mesh.model import ConfigObject, Labels, ObjectKey
from mesh.pilot.compile.authz.attributes import JWT_FILTER
from mesh.pilot.compile.jwt.keys import keys
from mesh.pilot.compile.jwt.provider import provider
from mesh.pilot.compile.jwt.requirement import requirement
from mesh.pilot.compile.messages import packed
from mesh.pilot.reader import Reader
from mesh.pilot.selection import applying

HttpFilter = http_connection_manager_pb2.HttpFilter
KIND = "RequestAuthentication"


def http(
    read: Reader, namespace: str, labels: Labels, gateway: bool
) -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """The filter; none if nothing asks for tokens."""
    rules = jwt_rules(policies(read, namespace, labels))
    if not rules:
        return ()
    config = authentication(read, rules, gateway=gateway)
    return (HttpFilter(name=JWT_FILTER, typed_config=packed(config)),)


def policies(read: Reader, namespace: str, labels: Labels) -> tuple[ConfigObject, ...]:
    """All RequestAuthentications that apply to a workload, in order of their names: their rules add up."""
    found = {each.key: each for scope in applying(read, KIND, namespace, labels) for each in scope}
    return tuple(found[key] for key in sorted(found))


def policy_keys(read: Reader, namespace: str, labels: Labels) -> tuple[ObjectKey, ...]:
    """Their names."""
    return tuple(each.key for each in policies(read, namespace, labels))


def jwt_rules(every: tuple[ConfigObject, ...]) -> list[JWTRule]:
    """The rules of all of them, by issuer."""
    return sorted((rule for each in every for rule in each.spec.jwt_rules), key=lambda rule: rule.issuer)


def authentication(read: Reader, rules: list[JWTRule], *, gateway: bool) -> config_pb2.JwtAuthentication:
    """The filter's configuration. Preflights of browsers carry no tokens, so they pass."""
    named = {f"origins-{number}": rule for number, rule in enumerate(rules)}
    result = config_pb2.JwtAuthentication(bypass_cors_preflight=True)
    for name, rule in named.items():
        result.providers[name].CopyFrom(provider(rule, keys(read, rule), clear_route_cache=gateway))
    result.rules.add(match=route_components_pb2.RouteMatch(prefix="/"), requires=requirement(list(named)))
    return result
