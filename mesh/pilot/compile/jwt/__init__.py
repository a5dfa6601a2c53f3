"""RequestAuthentication as Envoy's filter: tokens are checked, their claims kept for policies."""

from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.model import ObjectKey
from mesh.pilot.compile.authz.place import Place
from mesh.pilot.compile.jwt import authentication
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope

__all__ = ["filters", "origins"]


def filters(read: Reader, scope: Scope, place: Place) -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """The HTTP filters that check the tokens of requests to a workload."""
    del scope
    return read.ask(authentication.http, place.namespace, place.labels, place.gateway)


def origins(read: Reader, place: Place) -> tuple[ObjectKey, ...]:
    """The RequestAuthentications behind the filters of a place."""
    return read.ask(authentication.policy_keys, place.namespace, place.labels)
