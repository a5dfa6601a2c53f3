"""Envoy's tracer: it makes the spans, since it alone knows their ids, parents and times.

With Zipkin's tracer, context is taken from and handed on in B3 headers and, where the provider wants it,
W3C's (B3 first if both come). Each side of a call has a span of its own (`shared_span_context` off), ids
have 128 bits. Source: Envoy's `ZipkinConfig`, `OpenTelemetryConfig`, `HttpConnectionManager.Tracing`.
"""

from collections.abc import Iterable, Iterator

from envoy.config.core.v3 import base_pb2, grpc_service_pb2, http_service_pb2, http_uri_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2, zipkin_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from envoy.type.v3 import percent_pb2

from mesh.api.telemetry.telemetry import CustomTag
from mesh.api.tracing import Header, OpenTelemetryTracingProvider, ZipkinTracingProvider
from mesh.pilot.compile import names
from mesh.pilot.compile.messages import flag, number, packed, seconds
from mesh.pilot.tracing import Tracing

Manager = http_connection_manager_pb2.HttpConnectionManager
EnvoyTag = custom_tag_pb2.CustomTag
Percent = percent_pb2.Percent

ZIPKIN = "envoy.tracers.zipkin"
OPENTELEMETRY = "envoy.tracers.opentelemetry"
REQUEST_ID = "envoy.request_id.uuid"
TIMEOUT = 5.0
"""Seconds that an export may take, as Envoy has it."""

TRACES_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
OTLP_PATH = "/v1/traces"
ISTIO_TAGS = {
    "istio.namespace": "%CEL(xds.node.metadata.NAMESPACE)%",
    "istio.canonical_service": (
        "%CEL('service.istio.io/canonical-name' in xds.node.metadata.LABELS"
        " ? xds.node.metadata.LABELS['service.istio.io/canonical-name']"
        " : 'app' in xds.node.metadata.LABELS ? xds.node.metadata.LABELS['app'] : xds.node.metadata.NAME)%"
    ),
    "istio.canonical_revision": (
        "%CEL('service.istio.io/canonical-revision' in xds.node.metadata.LABELS"
        " ? xds.node.metadata.LABELS['service.istio.io/canonical-revision']"
        " : 'version' in xds.node.metadata.LABELS ? xds.node.metadata.LABELS['version'] : 'latest')%"
    ),
}
"""Istio's own tags. The proxy finds their values in its node, so that all proxies share one configuration."""

OTHER_END = {
    "CLIENT": ("upstream_address", "%UPSTREAM_REMOTE_ADDRESS%"),
    "SERVER": ("peer.principal", "%DOWNSTREAM_PEER_URI_SAN%"),
}
"""What each side knows of the other, beside Envoy's own tag `peer.address`: istio-telemetry looks it up."""


def trace(manager: http_connection_manager_pb2.HttpConnectionManager, tracing: Tracing | None) -> None:
    """Let a filter that handles HTTP trace its requests."""
    if tracing is None:
        return
    manager.tracing.CopyFrom(settings(tracing))
    if not tracing.by_request_id:
        chance = uuid_pb2.UuidRequestIdConfig(use_request_id_for_trace_sampling=flag(False))
        manager.request_id_extension.typed_config.CopyFrom(packed(chance))


def settings(tracing: Tracing) -> Manager.Tracing:
    """What is sampled, with which tags, and where spans go."""
    return Manager.Tracing(
        client_sampling=Percent(value=100),
        random_sampling=Percent(value=tracing.sampling),
        overall_sampling=Percent(value=100),
        max_path_tag_length=number(tracing.path_length),
        custom_tags=tags(tracing),
        provider=provider(tracing),
    )


def tags(tracing: Tracing) -> Iterator[custom_tag_pb2.CustomTag]:
    """Tags of all spans; those that somebody asked for win over Istio's own."""
    given = dict(tracing.tags)
    own = dict(ISTIO_TAGS) if tracing.istio_tags else {}
    for name, value in sorted({**own, **dict([OTHER_END[tracing.side]])}.items()):
        if name not in given:
            yield EnvoyTag(tag=name, value=value)
    for name, each in tracing.tags:
        yield tag(name, each)


def tag(name: str, wanted: CustomTag) -> custom_tag_pb2.CustomTag:
    """One tag."""
    result = EnvoyTag(tag=name)
    if wanted.literal is not None:
        result.literal.value = wanted.literal.value
    elif wanted.environment is not None:
        result.environment.name = wanted.environment.name
        result.environment.default_value = wanted.environment.default_value
    elif wanted.header is not None:
        result.request_header.name = wanted.header.name
        result.request_header.default_value = wanted.header.default_value
    elif wanted.formatter is not None:
        result.value = wanted.formatter.value
    return result


def provider(tracing: Tracing) -> http_tracer_pb2.Tracing.Http:
    """The tracer."""
    match tracing.provider:
        case ZipkinTracingProvider() as one:
            return http_tracer_pb2.Tracing.Http(name=ZIPKIN, typed_config=packed(zipkin(one, tracing.host)))
        case OpenTelemetryTracingProvider() as one:
            config = packed(opentelemetry(one, tracing.host))
            return http_tracer_pb2.Tracing.Http(name=OPENTELEMETRY, typed_config=config)


def zipkin(to: ZipkinTracingProvider, host: str) -> zipkin_pb2.ZipkinConfig:
    """Zipkin's tracer: v2 JSON by POST."""
    result = zipkin_pb2.ZipkinConfig(
        trace_id_128bit=not to.enable64bit_trace_id,
        shared_span_context=flag(False),
        collector_endpoint_version=zipkin_pb2.ZipkinConfig.HTTP_JSON,
        trace_context_option=zipkin_pb2.ZipkinConfig.TraceContextOption.Value(to.trace_context_option),
    )
    if to.headers or to.timeout is not None:
        result.collector_service.CopyFrom(http(to.path, host, to.port, to.timeout, to.headers))
    else:
        result.collector_cluster = names.outbound(to.port, host)
        result.collector_endpoint = to.path
        result.collector_hostname = authority(host, to.port)
    return result


def opentelemetry(to: OpenTelemetryTracingProvider, host: str) -> opentelemetry_pb2.OpenTelemetryConfig:
    """OpenTelemetry's tracer: OTLP over HTTP or gRPC."""
    result = opentelemetry_pb2.OpenTelemetryConfig()
    if to.http is not None:
        way = http(to.http.path or OTLP_PATH, host, to.port, to.http.timeout, to.http.headers)
        result.http_service.CopyFrom(way)
        return result
    wanted = to.grpc
    result.grpc_service.CopyFrom(
        grpc_service_pb2.GrpcService(
            envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(
                cluster_name=names.outbound(to.port, host), authority=authority(host, to.port)
            ),
            timeout=seconds((wanted and wanted.timeout) or TIMEOUT),
            initial_metadata=[value(each) for each in (wanted.initial_metadata if wanted else ())],
        )
    )
    return result


def http(
    path: str, host: str, port: int, timeout: float | None, headers: Iterable[Header]
) -> http_service_pb2.HttpService:
    """A service of HTTP that gets spans."""
    return http_service_pb2.HttpService(
        http_uri=http_uri_pb2.HttpUri(
            uri=f"http://{authority(host, port)}{path}",
            cluster=names.outbound(port, host),
            timeout=seconds(timeout or TIMEOUT),
        ),
        request_headers_to_add=[base_pb2.HeaderValueOption(header=value(each)) for each in headers],
    )


def value(header: Header) -> base_pb2.HeaderValue:
    """A header with its value."""
    return base_pb2.HeaderValue(key=header.name, value=header.value or "")


def authority(host: str, port: int) -> str:
    """How a service is called in requests; a cluster's name is none, its `|` is refused by servers."""
    return f"{host}:{port}"
