"""Attributes of a call that is over, from an entry of Envoy's access log service.

Which side reports is known by the log's name, whose proxy it is by the node: the other side is looked up in
the registry by its address, and its certificate is believed more than that.
Source: envoy/data/accesslog/v3/accesslog.proto; Istio 1.6, attribute vocabulary.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from envoy.config.core.v3 import base_pb2

from mesh.mixer.attributes.check import chosen
from mesh.mixer.attributes.flags import letters
from mesh.mixer.attributes.workload import Workloads, packed, peer, source_of, uid
from mesh.model.service import Workload

INBOUND = "inbound"
PRINCIPAL = "upstream.principal"
"""The custom tag in which Pilot has the called one's identity sent."""

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reporter:
    """Whose proxy reports, and which side of calls."""

    inbound: bool
    uid: str
    workload: Workload | None

    @property
    def kind(self) -> str:
        """As `context.reporter.kind` has it."""
        return INBOUND if self.inbound else "outbound"


def reporter(workloads: Workloads, node_id: str, log_name: str) -> Reporter:
    """Who reports: a node's id is `sidecar~<address>~<pod>.<namespace>~<domain>`."""
    parts = (node_id.split("~") + [""] * 3)[:3]
    name = f"kubernetes://{parts[2]}"
    found = workloads.named(name) or workloads.at(parts[1])
    return Reporter(log_name == INBOUND, uid(found) if found else name, found)


def namespace_of(values: Values) -> str:
    """The namespace whose rules a report is for: that of the workload that reports."""
    side = "destination" if values["context.reporter.kind"] == INBOUND else "source"
    return values.get(f"{side}.namespace") or ""


class ReportAttributes:
    """Makes the attributes of reports."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads

    def http(self, entry: Any, by: Reporter) -> Values:
        """Of a request."""
        values = self._common(entry.common_properties, by, entry.request.authority)
        request, response = entry.request, entry.response
        _request(values, request)
        _response(values, response, entry.common_properties)
        headers = values["request.headers"]
        grpc = headers.get("content-type", "").startswith("application/grpc")
        values["context.protocol"] = values["api.protocol"] = "grpc" if grpc else "http"
        if grpc:
            trailers = {**response.response_headers, **response.response_trailers}
            values["response.grpc_status"] = trailers.get("grpc-status")
            values["response.grpc_message"] = trailers.get("grpc-message")
        return values

    def tcp(self, entry: Any, by: Reporter) -> Values:
        """Of a connection, without what happened since the report before."""
        values = self._common(entry.common_properties, by, "")
        values["context.protocol"] = "tcp"
        values["connection.duration"] = _span(entry.common_properties.duration)
        return values

    def _common(self, common: Any, by: Reporter, authority: str) -> Values:
        values: Values = {}
        if by.inbound:
            self._called(values, common, by, authority)
        else:
            self._calling(values, common, by, authority)
        begun = _time(common.start_time)
        values["context.reporter.kind"] = by.kind
        values["context.reporter.uid"] = by.uid
        values["context.reporter.local"] = True
        values["context.time"] = values["context.timestamp"] = values["request.time"] = begun
        values["context.proxy_error_code"] = letters(common.response_flags)
        values["connection.id"] = common.stream_id or None
        sni = common.tls_properties.tls_sni_hostname
        values["connection.requested_server_name"] = sni or None
        return values

    def _called(self, values: Values, common: Any, by: Reporter, authority: str) -> None:
        """The reporter is the one that is called."""
        origin = common.downstream_remote_address.socket_address
        # What X-Forwarded-For says is the origin; who calls is at the connection's other end.
        direct = common.downstream_direct_remote_address.socket_address
        caller = direct if direct.address else origin
        tls = common.tls_properties
        values.update(source_of(self._workloads, caller.address, _uri(tls.peer_certificate_properties)))
        values["source.port"] = caller.port_value
        values["origin.ip"] = packed(origin.address)
        values["connection.mtls"] = "source.principal" in values
        if by.workload is not None:
            values.update(self._workloads.destination(by.workload))
            proved = peer("destination", _uri(tls.local_certificate_properties))
            values.update(proved or peer("destination", account_uri(values, by.workload)))
        port = port_of(common.upstream_cluster) or common.downstream_local_address.socket_address.port_value
        values["destination.port"] = port
        if by.workload is not None:
            host = chosen(self._workloads.services_at(by.workload.address, port), authority)
            self._service(values, host)

    def _calling(self, values: Values, common: Any, by: Reporter, authority: str) -> None:
        """The reporter is the one that calls."""
        called = common.upstream_remote_address.socket_address
        principal = common.custom_tags.get(PRINCIPAL, "")
        values.update(peer("destination", "" if principal == "-" else principal))
        values["connection.mtls"] = "destination.principal" in values
        found = self._workloads.at(called.address)
        if found is not None:
            values.update(self._workloads.destination(found))
        if called.address:
            values["destination.ip"] = packed(called.address)
            values["destination.port"] = called.port_value
        if by.workload is not None:
            values.update(self._workloads.source(by.workload))
            values.update(
                peer("source", account_uri(values, by.workload) if values["connection.mtls"] else "")
            )
        caller = common.downstream_remote_address.socket_address
        values["origin.ip"] = packed(caller.address)
        values["source.port"] = caller.port_value
        self._service(values, host_of(common.upstream_cluster) or authority.partition(":")[0])

    def _service(self, values: Values, host: str) -> None:
        if host:
            values.update(self._workloads.service(host))
            values["api.service"] = host


def account_uri(values: Values, workload: Workload) -> str:
    """The identity that a workload's own proxy shows, in the trust domain of its peer."""
    other = values.get("source.principal") or values.get("destination.principal") or ""
    domain = other.partition("/")[0]
    if not domain or not workload.service_account:
        return ""
    return f"spiffe://{domain}/ns/{workload.namespace}/sa/{workload.service_account}"


def host_of(cluster: str) -> str:
    """The host of `outbound|<port>|<subset>|<host>`; of another cluster its name."""
    parts = cluster.split("|")
    return parts[3] if len(parts) == 4 else ("" if cluster == "-" else cluster)


def port_of(cluster: str) -> int:
    """The port of `inbound|<port>||`; 0 if it is not one of those."""
    parts = cluster.split("|")
    return int(parts[1]) if len(parts) == 4 and parts[1].isdigit() else 0


def _uri(certificate: Any) -> str:
    return next((name.uri for name in certificate.subject_alt_name if name.uri), "")


def _request(values: Values, request: Any) -> None:
    headers = dict(request.request_headers)
    path = request.original_path or request.path
    values["request.headers"] = headers
    values["request.path"] = path
    values["request.url_path"], _, query = path.partition("?")
    if query:
        values["request.query_params"] = dict(parse_qsl(query, keep_blank_values=True))
    values["request.method"] = base_pb2.RequestMethod.Name(request.request_method)
    values["request.host"] = request.authority
    values["request.scheme"] = request.scheme or None
    values["request.id"] = request.request_id or None
    values["request.useragent"] = request.user_agent or None
    values["request.referer"] = request.referer or None
    values["request.api_key"] = headers.get("x-api-key")
    values["request.size"] = request.request_body_bytes
    values["request.total_size"] = request.request_headers_bytes + request.request_body_bytes
    headers.setdefault(":authority", request.authority)
    if request.user_agent:
        headers.setdefault("user-agent", request.user_agent)


def _response(values: Values, response: Any, common: Any) -> None:
    code = response.response_code.value
    values["response.code"] = code
    values["response.headers"] = dict(response.response_headers)
    values["response.size"] = response.response_body_bytes
    values["response.total_size"] = response.response_headers_bytes + response.response_body_bytes
    took = _span(common.duration) if common.HasField("duration") else None
    if took is None:
        took = _span(common.time_to_last_downstream_tx_byte)
    values["response.duration"] = took
    values["response.time"] = values["request.time"] + took


def _time(stamp: Any) -> datetime:
    return datetime.fromtimestamp(stamp.seconds, UTC) + timedelta(microseconds=stamp.nanos // 1000)


def _span(duration: Any) -> timedelta:
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos / 1000)
