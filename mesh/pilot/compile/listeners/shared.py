"""What listeners have in common: addresses, filters that look at the first bytes, names of application
protocols, and the way from a message to a resource.
"""

from collections.abc import Iterable

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.type.v3 import range_pb2

from mesh.api.meshconfig import MeshConfig
from mesh.model import ObjectKey
from mesh.pilot.compile.messages import packed, resource, seconds, wire
from mesh.pilot.types import LDS, RDS, Resource

ListenerFilter = listener_components_pb2.ListenerFilter
Predicate = listener_components_pb2.ListenerFilterChainMatchPredicate
FilterChain = listener_components_pb2.FilterChain

PLAIN_HTTP = ("http/1.0", "http/1.1", "h2c")
"""What `http_inspector` says of HTTP in clear text."""


def original_destination() -> listener_components_pb2.ListenerFilter:
    """Find out where an intercepted connection was going."""
    return ListenerFilter(
        name="envoy.filters.listener.original_dst", typed_config=packed(original_dst_pb2.OriginalDst())
    )


def http_inspector(
    except_ports: Iterable[int] = (),
) -> listener_components_pb2.ListenerFilter:
    """Find out from the first bytes whether it is HTTP; ports whose protocol is known need not wait."""
    result = ListenerFilter(
        name="envoy.filters.listener.http_inspector",
        typed_config=packed(http_inspector_pb2.HttpInspector()),
    )
    leave_out(result, except_ports)
    return result


def tls_inspector() -> listener_components_pb2.ListenerFilter:
    """Find out from the first bytes whether it is TLS, and for which name."""
    return ListenerFilter(
        name="envoy.filters.listener.tls_inspector", typed_config=packed(tls_inspector_pb2.TlsInspector())
    )


def leave_out(inspector: listener_components_pb2.ListenerFilter, ports: Iterable[int]) -> None:
    """Do not look at connections to these ports."""
    conditions = [
        Predicate(destination_port_range=range_pb2.Int32Range(start=port, end=port + 1)) for port in ports
    ]
    if len(conditions) == 1:
        inspector.filter_disabled.CopyFrom(conditions[0])
    elif conditions:
        inspector.filter_disabled.or_match.rules.extend(conditions)


def patience(listener: listener_pb2.Listener, mesh: MeshConfig) -> None:
    """How long to wait for first bytes, after which it counts as unknown; 0 waits for ever."""
    listener.listener_filters_timeout.CopyFrom(seconds(mesh.protocol_detection_timeout))
    listener.continue_on_listener_filters_timeout = True


def plain_http(chain: listener_components_pb2.FilterChain) -> listener_components_pb2.FilterChain:
    """The chain, for connections that turn out to be HTTP in clear text."""
    chain.filter_chain_match.transport_protocol = "raw_buffer"
    chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP)
    return chain


def sorted_out(http: FilterChain, rest: Iterable[FilterChain]) -> list[FilterChain]:
    """HTTP in clear text to its chain, all else to the rest.

    Envoy does not step back while it looks for a chain: once one asks for clear text, clear text that is not
    HTTP finds only chains that ask for clear text too. So the rest is there twice.
    """
    rest = list(rest)
    plain = [copy_of(each) for each in rest if not each.filter_chain_match.server_names]
    for each in plain:
        each.filter_chain_match.transport_protocol = "raw_buffer"
    return [plain_http(http), *plain, *rest]


def copy_of(chain: FilterChain) -> FilterChain:
    """Another chain that is the same."""
    result = FilterChain()
    result.CopyFrom(chain)
    return result


def finished(
    listener: listener_pb2.Listener, *, origins: Iterable[ObjectKey] = (), routes: Iterable[str] = ()
) -> Resource:
    """The listener as a resource that waits for its routes."""
    waits_for = [(RDS, name) for name in routes]
    return resource(LDS, listener.name, wire(listener), origins=origins, waits_for=waits_for)
