"""Reports over gRPC (Envoy's access log service): to istio-telemetry, and to other services that a provider
names. Envoy batches them; what it cannot send it drops and counts (`access_logs.grpc_access_log.*`), so a
dead receiver slows no request.

Source: Envoy's `access_loggers.grpc.v3`, `tcp_proxy.v3.TcpAccessLogOptions`.
"""

from collections.abc import Iterable, Iterator

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import config_source_pb2, grpc_service_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf.message import Message

from mesh.pilot.compile import names
from mesh.pilot.compile.messages import packed, seconds
from mesh.pilot.reporting import Logs, Stream

AccessLog = accesslog_pb2.AccessLog
HTTP = "envoy.access_loggers.http_grpc"
TCP = "envoy.access_loggers.tcp_grpc"
PRINCIPAL = "upstream.principal"
"""A custom tag: whose certificate the one called has shown. Entries tell the caller's only."""


def http(streams: Iterable[Stream]) -> Iterator[tuple[accesslog_pb2.AccessLog, str]]:
    """Loggers of requests, each with its condition."""
    for each in streams:
        if each.http:
            config = als_pb2.HttpGrpcAccessLogConfig(
                common_config=common(each),
                additional_request_headers_to_log=each.request_headers,
                additional_response_headers_to_log=each.response_headers,
                additional_response_trailers_to_log=each.trailers,
            )
            yield logger(HTTP, config), each.condition


def tcp(streams: Iterable[Stream]) -> Iterator[tuple[accesslog_pb2.AccessLog, str]]:
    """Loggers of connections, each with its condition."""
    for each in streams:
        if each.tcp:
            config = als_pb2.TcpGrpcAccessLogConfig(common_config=common(each))
            yield logger(TCP, config), each.condition


def logger(name: str, config: Message) -> accesslog_pb2.AccessLog:
    """A logger."""
    return AccessLog(name=name, typed_config=packed(config))


def common(stream: Stream) -> als_pb2.CommonGrpcAccessLogConfig:
    """Where entries go, when, and what they tell. A cluster's name is no authority: its `|` is refused."""
    result = als_pb2.CommonGrpcAccessLogConfig(
        log_name=stream.name,
        transport_api_version=config_source_pb2.V3,
        grpc_service=grpc_service_pb2.GrpcService(
            envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(
                cluster_name=names.outbound(stream.port, stream.host), authority=stream.host
            )
        ),
        filter_state_objects_to_log=stream.filter_state,
    )
    if stream.batch is not None:
        size, time = stream.batch
        result.buffer_size_bytes.value = size
        result.buffer_flush_interval.CopyFrom(seconds(time))
    if stream.told_peer:
        tag = custom_tag_pb2.CustomTag(tag=PRINCIPAL, value="%UPSTREAM_PEER_URI_SAN%")
        result.custom_tags.append(tag)
    return result


def options(logs: Logs) -> tcp_proxy_pb2.TcpProxy.TcpAccessLogOptions | None:
    """When connections are reported beside their ends; None if nobody wants to know."""
    intervals = [each.interval for each in logs.streams if each.tcp and each.interval]
    if not intervals:
        return None
    return tcp_proxy_pb2.TcpProxy.TcpAccessLogOptions(
        access_log_flush_interval=seconds(min(intervals)), flush_access_log_on_connected=True
    )
