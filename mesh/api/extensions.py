"""Providers that policies name (MeshConfig `extensionProviders`).

Source: Istio's reference of MeshConfig.ExtensionProvider; every field is named as there.
"""

from collections.abc import Iterator
from typing import Any

from mesh.api.base import Count, HeaderName, Model, Port, PositiveDuration, host
from mesh.api.checks import Fault, advise, check
from mesh.api.logs import (
    EnvoyFileAccessLogProvider,
    EnvoyHttpGrpcV3LogProvider,
    EnvoyTcpGrpcV3LogProvider,
)
from mesh.api.tracing import OpenTelemetryTracingProvider, ZipkinTracingProvider


class EnvoyExternalAuthorizationRequestBody(Model):
    """How much of the body is sent along (bytes)."""

    max_request_bytes: Count = 0
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class ExternalAuthorization(Model):
    """What both ways of asking have; `service` is a host name, perhaps in a namespace: `[NAMESPACE/]HOST`."""

    service: str
    port: Port
    timeout: PositiveDuration | None = None
    fail_open: bool = False
    clear_route_cache: bool | None = None
    status_on_error: str = ""
    include_request_body_in_check: EnvoyExternalAuthorizationRequestBody | None = None

    @check
    def _service(self) -> None:
        host(self.service.rpartition("/")[2])

    @check
    def _status(self) -> Iterator[Fault]:
        code = self.status_on_error
        if code and not (code.isascii() and code.isdecimal() and 200 <= int(code[:4]) < 600):
            yield Fault("statusOnError", f"is {code!r}, not a status of HTTP", "write a code like '503'")


class EnvoyExternalAuthorizationHttpProvider(ExternalAuthorization):
    """A provider that is asked over HTTP."""

    path_prefix: str = ""
    include_request_headers_in_check: tuple[str, ...] = ()
    include_headers_in_check: tuple[str, ...] = ()  # the older name
    include_additional_headers_in_check: dict[HeaderName, str] = {}
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    headers_to_downstream_on_deny: tuple[str, ...] = ()
    headers_to_downstream_on_allow: tuple[str, ...] = ()


class EnvoyExternalAuthorizationGrpcProvider(ExternalAuthorization):
    """A provider that is asked over gRPC (Envoy's ext_authz)."""


USED = (
    "envoy_ext_authz_http", "envoy_ext_authz_grpc", "zipkin", "opentelemetry", "prometheus",
    "envoy_file_access_log", "envoy_http_als", "envoy_tcp_als",
)  # fmt: skip
"""The kinds of providers that this mesh uses."""


class ExtensionProvider(Model):
    """A named provider of one kind."""

    name: str
    envoy_ext_authz_http: EnvoyExternalAuthorizationHttpProvider | None = None
    envoy_ext_authz_grpc: EnvoyExternalAuthorizationGrpcProvider | None = None
    zipkin: ZipkinTracingProvider | None = None
    lightstep: dict[str, Any] | None = None
    datadog: dict[str, Any] | None = None
    stackdriver: dict[str, Any] | None = None
    opencensus: dict[str, Any] | None = None
    skywalking: dict[str, Any] | None = None
    opentelemetry: OpenTelemetryTracingProvider | None = None
    prometheus: dict[str, Any] | None = None
    envoy_file_access_log: EnvoyFileAccessLogProvider | None = None
    envoy_http_als: EnvoyHttpGrpcV3LogProvider | None = None
    envoy_tcp_als: EnvoyTcpGrpcV3LogProvider | None = None
    envoy_otel_als: dict[str, Any] | None = None
    sds: dict[str, Any] | None = None

    @check
    def _one(self) -> Iterator[Fault]:
        if not self.name:
            yield Fault("name", "is empty", "policies refer to providers by their names")
        kinds = [name for name in type(self).model_fields if name != "name"]
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            yield Fault(
                "", f"must have exactly one kind of provider, not {len(given)}", "see Istio's reference"
            )

    @advise
    def _used(self) -> Iterator[Fault]:
        if all(getattr(self, name) is None for name in USED):
            yield Fault(
                "", "is of a kind that this mesh does not use", "leave it out, or know that nothing happens"
            )
