"""Access logs as the mesh's settings ask for them: to a file, as text or JSON.

Source of the default formats: Istio's documentation of Envoy's access logs.
"""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from google.protobuf.struct_pb2 import Struct

from mesh.api.meshconfig import MeshConfig
from mesh.model.authorization import HTTP_RBAC, SHADOW_POLICY
from mesh.pilot.compile.messages import packed


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


def access_logs(mesh: MeshConfig) -> list[accesslog_pb2.AccessLog]:
    """The access logs of a chain of filters; none if the mesh has no file for them."""
    if not mesh.access_log_file:
        return []
    log = file_pb2.FileAccessLog(path=mesh.access_log_file, log_format=log_format(mesh))
    return [accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=packed(log))]


def log_format(mesh: MeshConfig) -> substitution_format_string_pb2.SubstitutionFormatString:
    """One line of the log."""
    if mesh.access_log_encoding == "JSON":
        fields = Struct()
        fields.update(FIELDS | TRACES)
        return substitution_format_string_pb2.SubstitutionFormatString(json_format=fields)
    text = mesh.access_log_format or TEXT
    return substitution_format_string_pb2.SubstitutionFormatString(
        text_format_source=base_pb2.DataSource(inline_string=text)
    )
