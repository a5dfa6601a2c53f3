"""The filters that ask istio-policy: Envoy's external authorization over gRPC.

What the proxy alone knows of the place goes along: with requests as `context_extensions`; the filters of
gateways and of connections that are not HTTP have none, so there it is metadata of the gRPC call.
Source: Envoy's `ext_authz` filters, `config.core.v3.GrpcService`.
"""

from collections.abc import Mapping

from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as tcp_ext_authz_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.matcher.v3 import metadata_pb2
from envoy.type.v3 import http_status_pb2

from mesh.model import authorization
from mesh.pilot.compile import names
from mesh.pilot.compile.messages import packed, seconds
from mesh.pilot.mixer.settings import Checks

HttpFilter = http_connection_manager_pb2.HttpFilter
Filter = listener_components_pb2.Filter
GrpcService = grpc_service_pb2.GrpcService

NAME = "meshwright.mixer.check"
CONTEXT = "x-mesh-context"
"""Metadata of the gRPC call: `name=value;name=value`, as `context_extensions` have it."""

JWT_FILTER = "envoy.filters.http.jwt_authn"
UNSENT = "connect-failure,refused-stream,reset-before-request"
"""Failures before istio-policy has seen anything; what it says itself is not asked for again."""

PAUSES = (0.01, 0.1)
"""Seconds between attempts, first and longest: all of them must fit into the time limit."""

STATUS_ON_ERROR = 503  # as google.rpc.Code UNAVAILABLE
STATS = "mixer"


def http(
    checks: Checks, extensions: Mapping[str, str], noted: metadata_pb2.MetadataMatcher | None = None
) -> http_connection_manager_pb2.HttpFilter:
    """The HTTP filter; `extensions` go with each question. With `noted`, only calls that have it are asked
    about.
    """
    config = ext_authz_pb2.ExtAuthz(
        grpc_service=grpc_service(checks, extensions),
        transport_api_version=config_source_pb2.V3,
        failure_mode_allow=checks.fail_open,
        status_on_error=http_status_pb2.HttpStatus(code=STATUS_ON_ERROR),  # type: ignore[arg-type]
        metadata_context_namespaces=[JWT_FILTER],
        include_tls_session=True,
        stat_prefix=STATS,
        filter_enabled_metadata=noted,
    )
    return HttpFilter(name=NAME, typed_config=packed(config))


def tcp(
    checks: Checks, extensions: Mapping[str, str], noted: metadata_pb2.MetadataMatcher | None = None
) -> listener_components_pb2.Filter:
    """The network filter."""
    config = tcp_ext_authz_pb2.ExtAuthz(
        stat_prefix=f"{STATS}.",
        grpc_service=grpc_service(checks, extensions),
        failure_mode_allow=checks.fail_open,
        transport_api_version=config_source_pb2.V3,
        include_tls_session=True,
        filter_enabled_metadata=noted,
    )
    return Filter(name=authorization.TCP_EXTERNAL, typed_config=packed(config))


def grpc_service(checks: Checks, extensions: Mapping[str, str]) -> grpc_service_pb2.GrpcService:
    """How istio-policy is asked. A cluster's name is no authority: its `|` is refused by servers."""
    cluster = names.outbound(checks.port, checks.host)
    result = GrpcService(
        envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=cluster, authority=checks.host),
        timeout=seconds(checks.timeout),
        initial_metadata=[base_pb2.HeaderValue(key=CONTEXT, value=context(extensions))],
    )
    if checks.retries:
        result.retry_policy.num_retries.value = checks.retries
        result.retry_policy.retry_on = UNSENT
        result.retry_policy.retry_back_off.base_interval.CopyFrom(seconds(PAUSES[0]))
        result.retry_policy.retry_back_off.max_interval.CopyFrom(seconds(PAUSES[1]))
    return result


def context(extensions: Mapping[str, str]) -> str:
    """What is told of the place, in one line; Envoy would replace what stands between `%`."""
    return ";".join(f"{name}={value}" for name, value in sorted(extensions.items())).replace("%", "%%")


def told(host: route_components_pb2.VirtualHost, extensions: Mapping[str, str]) -> None:
    """Send `extensions` with questions about requests to a virtual host."""
    settings = ext_authz_pb2.CheckSettings(context_extensions=extensions)
    config = ext_authz_pb2.ExtAuthzPerRoute(check_settings=settings)
    host.typed_per_filter_config[NAME].CopyFrom(packed(config))
