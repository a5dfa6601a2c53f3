"""Access logs: to files as text or JSON, and to services; of what a condition in CEL is true of.

Source of the default formats: Istio's documentation of Envoy's access logs.
"""

import json

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as accesslog_types
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from google.protobuf.struct_pb2 import Struct

from mesh.model.authorization import HTTP_RBAC, SHADOW_POLICY
from mesh.pilot.compile import reports
from mesh.pilot.compile.messages import packed
from mesh.pilot.reporting import File, Logs

Filter = accesslog_pb2.AccessLogFilter
CEL = "envoy.access_loggers.extension_filters.cel"


def noted(prefix: str, key: str) -> str:
    """What the filter of policies has left of a request."""
    return f"%DYNAMIC_METADATA({HTTP_RBAC}:istio_{prefix}_{key})%"


FIELDS = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "route_name": "%ROUTE_NAME%",
}
"""The fields of a JSON log by default."""

TRACES = {
    "audited_by": noted("audit", SHADOW_POLICY),
    "dry_run_denied_by": noted("dry_run_deny", SHADOW_POLICY),
    "dry_run_allow": noted("dry_run_allow", "shadow_engine_result"),
}
"""Further fields of a JSON log: rules of AUDIT and on trial that have matched. Istio's own text has no place
for them; who wants them there names them in `accessLogFormat`.
"""

QUOTED = {
    "upstream_transport_failure_reason", "x_forwarded_for", "user_agent", "request_id", "authority",
    "upstream_host",
}  # fmt: skip


def text_format() -> str:
    """The line of a text log by default: the same fields, in order, as Istio writes them."""
    request = '"{method} {path} {protocol}"'.format(**FIELDS)
    rest = list(FIELDS.items())[4:]
    values = [f'"{value}"' if name in QUOTED else value for name, value in rest]
    return f"[{FIELDS['start_time']}] {request} {' '.join(values)}\n"


TEXT = text_format()


def http_logs(logs: Logs) -> list[accesslog_pb2.AccessLog]:
    """The access logs of a filter that handles HTTP."""
    every = [*((in_file(each), each.condition) for each in logs.files), *reports.http(logs.streams)]
    return [where(log, condition) for log, condition in every]


def tcp_logs(logs: Logs) -> list[accesslog_pb2.AccessLog]:
    """The access logs of a filter that handles connections. Files get a line at the end of each; who is
    told of their beginning and course too is told by what kind of entry it is.
    """
    files = [where(in_file(each), each.condition, ended()) for each in logs.files]
    streams = (
        where(log, condition, *(() if each.interval else (ended(),)))
        for each in logs.streams
        for log, condition in reports.tcp((each,))
    )
    return [*files, *streams]


def in_file(file: File) -> accesslog_pb2.AccessLog:
    """The log of one file."""
    config = file_pb2.FileAccessLog(path=file.path, log_format=log_format(file))
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=packed(config))


def log_format(file: File) -> substitution_format_string_pb2.SubstitutionFormatString:
    """One line of the log."""
    result = substitution_format_string_pb2.SubstitutionFormatString(omit_empty_values=file.omit_empty)
    if file.json:
        fields = Struct()
        fields.update(json.loads(file.fields) if file.fields else FIELDS | TRACES)
        result.json_format.CopyFrom(fields)
    else:
        result.text_format_source.CopyFrom(base_pb2.DataSource(inline_string=file.text or TEXT))
    return result


# Conditions


def where(log: accesslog_pb2.AccessLog, condition: str, *further: Filter) -> accesslog_pb2.AccessLog:
    """The log, of what meets all conditions; `condition` is CEL, if it is not empty."""
    filters = [*further, *([cel(condition)] if condition else [])]
    if len(filters) == 1:
        log.filter.CopyFrom(filters[0])
    elif filters:
        log.filter.and_filter.filters.extend(filters)
    return log


def cel(expression: str) -> accesslog_pb2.AccessLogFilter:
    """What an expression in CEL is true of."""
    config = packed(cel_pb2.ExpressionFilter(expression=expression))
    return Filter(extension_filter=accesslog_pb2.ExtensionFilter(name=CEL, typed_config=config))


def ended() -> accesslog_pb2.AccessLogFilter:
    """The ends of connections."""
    kinds = accesslog_pb2.LogTypeFilter(types=[accesslog_types.TcpConnectionEnd])
    return Filter(log_type_filter=kinds)
