"""The filters that ask a provider of external authorization, over HTTP or gRPC.

Source: Istio's reference of MeshConfig (`extensionProviders`: `envoyExtAuthzHttp`, `envoyExtAuthzGrpc`).
"""

from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2, http_uri_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as tcp_ext_authz_pb2
from envoy.type.matcher.v3 import metadata_pb2, string_pb2, value_pb2
from envoy.type.v3 import http_status_pb2

from mesh.api.meshconfig import (
    EnvoyExternalAuthorizationGrpcProvider as GrpcProvider,
)
from mesh.api.meshconfig import (
    EnvoyExternalAuthorizationHttpProvider as HttpProvider,
)
from mesh.api.meshconfig import (
    EnvoyExternalAuthorizationRequestBody as RequestBody,
)
from mesh.api.meshconfig import ExtensionProvider
from mesh.model import Service
from mesh.model import authorization as names
from mesh.pilot.compile import names as cluster_names
from mesh.pilot.compile.authz import texts
from mesh.pilot.compile.messages import seconds
from mesh.pilot.hosts import full
from mesh.pilot.reader import Reader

ExtAuthz = ext_authz_pb2.ExtAuthz
LONGEST = 600.0  # seconds: what Istio waits if neither the provider nor a DestinationRule says less
Service_ = ext_authz_pb2.HttpService


def asked(provider: ExtensionProvider) -> HttpProvider | GrpcProvider | None:
    """The part of a provider that says how it is asked; None if it is for something else."""
    return provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc


def hostname(service: str) -> str:
    """The full name of `[namespace/]host`.

    >>> hostname("weather/gate"), hostname("gate.example.com")
    ('gate.weather.svc.cluster.local', 'gate.example.com')
    """
    namespace, _, host = service.rpartition("/")
    return full(host, namespace or "default")


def service(read: Reader, provider: ExtensionProvider) -> Service | None:
    """The service behind a provider; None if there is none, or none with that port."""
    how = asked(provider)
    found = read.service(hostname(how.service)) if how else None
    return found if found and how and found.port(how.port) else None


def http(provider: ExtensionProvider, to: Service, prefix: str) -> ext_authz_pb2.ExtAuthz:
    """The HTTP filter, on for what the rules with this prefix of names have matched."""
    over_http, over_grpc = provider.envoy_ext_authz_http, provider.envoy_ext_authz_grpc
    result = ExtAuthz(
        transport_api_version=config_source_pb2.V3,
        filter_enabled_metadata=matched(names.HTTP_RBAC, prefix),
    )
    if over_http is not None:
        result.http_service.CopyFrom(http_service(over_http, to))
        allowed = (*over_http.include_request_headers_in_check, *over_http.include_headers_in_check)
        if allowed:
            result.allowed_headers.CopyFrom(headers(allowed))
        common(result, over_http)
    elif over_grpc is not None:
        result.grpc_service.CopyFrom(grpc_service(over_grpc, to))
        common(result, over_grpc)
    return result


def common(config: ext_authz_pb2.ExtAuthz, provider: HttpProvider | GrpcProvider) -> None:
    """What both ways of asking have."""
    config.failure_mode_allow = provider.fail_open
    config.clear_route_cache = bool(provider.clear_route_cache)
    if provider.status_on_error:
        config.status_on_error.CopyFrom(http_status_pb2.HttpStatus(code=int(provider.status_on_error)))  # type: ignore[arg-type]
    if provider.include_request_body_in_check is not None:
        config.with_request_body.CopyFrom(body(provider.include_request_body_in_check))


def body(wanted: RequestBody) -> ext_authz_pb2.BufferSettings:
    """How much of the request's body the provider gets."""
    return ext_authz_pb2.BufferSettings(
        max_request_bytes=wanted.max_request_bytes,
        allow_partial_message=wanted.allow_partial_message,
        pack_as_bytes=wanted.pack_as_bytes,
    )


def http_service(provider: HttpProvider, to: Service) -> ext_authz_pb2.HttpService:
    """How a provider is asked over HTTP."""
    result = Service_(
        server_uri=http_uri_pb2.HttpUri(
            uri=f"http://{to.hostname}",
            cluster=cluster_names.outbound(provider.port, to.hostname),
            timeout=seconds(provider.timeout or LONGEST),
        ),
        path_prefix=provider.path_prefix,
    )
    more = provider.include_additional_headers_in_check
    for name in sorted(more):
        result.authorization_request.headers_to_add.append(base_pb2.HeaderValue(key=name, value=more[name]))
    answer = result.authorization_response
    for field, wanted in (
        (answer.allowed_upstream_headers, provider.headers_to_upstream_on_allow),
        (answer.allowed_client_headers, provider.headers_to_downstream_on_deny),
        (answer.allowed_client_headers_on_success, provider.headers_to_downstream_on_allow),
    ):
        if wanted:
            field.CopyFrom(headers(wanted))
    return result


def grpc_service(provider: GrpcProvider, to: Service) -> grpc_service_pb2.GrpcService:
    """How a provider is asked over gRPC. A cluster's name is no authority, its `|` is refused by servers."""
    cluster = cluster_names.outbound(provider.port, to.hostname)
    return grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(
            cluster_name=cluster, authority=cluster.replace("|", "_.")
        ),
        timeout=seconds(provider.timeout or LONGEST),
    )


def tcp(provider: GrpcProvider, to: Service, prefix: str) -> tcp_ext_authz_pb2.ExtAuthz:
    """The network filter."""
    return tcp_ext_authz_pb2.ExtAuthz(
        stat_prefix="tcp.",
        grpc_service=grpc_service(provider, to),
        failure_mode_allow=provider.fail_open,
        transport_api_version=config_source_pb2.V3,
        filter_enabled_metadata=matched(names.TCP_RBAC, prefix),
    )


def matched(source: str, prefix: str) -> metadata_pb2.MetadataMatcher:
    """What the RBAC filter before has noted."""
    key = f"{names.CUSTOM_SHADOW}{names.SHADOW_POLICY}"
    return metadata_pb2.MetadataMatcher(
        filter=source,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=key)],
        value=value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(prefix=prefix)),
    )


def headers(wanted: Iterable[str]) -> string_pb2.ListStringMatcher:
    """Names of headers, in any case, with wildcards in front or behind."""
    return string_pb2.ListStringMatcher(patterns=[texts.text(each, ignore_case=True) for each in wanted])
