"""AuthorizationPolicy as Envoy's filters: RBAC for ALLOW, DENY and AUDIT, external authorization for CUSTOM.

`http_filters` and `tcp_filters` are what chains of filters take, in this order: CUSTOM, DENY, ALLOW.
"""

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from mesh.model import ObjectKey
from mesh.pilot.compile.authz import filters, selection
from mesh.pilot.compile.authz.place import Place
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Scope

__all__ = ["Place", "http_filters", "origins", "tcp_filters"]


def http_filters(
    read: Reader, scope: Scope, place: Place
) -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    """The HTTP filters that enforce the policies of a workload."""
    del scope
    return read.ask(filters.http, place.namespace, place.labels)


def tcp_filters(read: Reader, scope: Scope, place: Place) -> tuple[listener_components_pb2.Filter, ...]:
    """The network filters that enforce the policies of a workload on connections that are not HTTP."""
    del scope
    return read.ask(filters.tcp, place.namespace, place.labels)


def origins(read: Reader, place: Place) -> tuple[ObjectKey, ...]:
    """The policies behind the filters of a place."""
    return read.ask(selection.keys, place.namespace, place.labels)
