"""Attributes of a call that is about to be forwarded, from Envoy's `CheckRequest`, HTTP and TCP alike.

`context_extensions` are what Pilot wrote into the filter's configuration: whose proxy asks, for which port
and service. Everything else is Envoy's own observation.
Source: envoy/service/auth/v3/attribute_context.proto; Istio 1.6, attribute vocabulary.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.json_format import MessageToDict

from mesh.mixer.attributes.workload import Workloads, packed, peer, source_of
from mesh.mixer.attributes.workload import uid as uid_of
from mesh.mixer.peers import Stranger, belongs
from mesh.model.service import Workload
from mesh.pki.spiffe import Identity

JWT = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
"""Key under which the filter keeps a token's claims; Pilot sets it (`payload_in_metadata`)."""

COPIED = {
    "destination.service.host": "destination.service.host",
    "destination.namespace": "destination.namespace",
    "context.reporter.kind": "context.reporter.kind",
    "context.reporter.uid": "context.reporter.uid",
}
"""What a proxy says of the place that is an attribute as it is."""

Values = dict[str, Any]


class CheckAttributes:
    """Makes the attributes of checks; `clock` gives the seconds since 1970."""

    def __init__(self, workloads: Workloads, clock: Callable[[], float]) -> None:
        self._workloads = workloads
        self._clock = clock

    def of(self, context: Any, extensions: Mapping[str, str]) -> Values:
        """The attributes of an `AttributeContext` and of what the proxy says of the place."""
        address = context.source.address.socket_address.address
        values = source_of(self._workloads, address, context.source.principal)
        values["origin.ip"] = values.get("source.ip")
        values["connection.mtls"] = "source.principal" in values
        values["connection.requested_server_name"] = context.tls_session.sni or None
        if context.request.HasField("http"):
            _http(values, context.request.http)
            _token(values, context.metadata_context.filter_metadata)
        else:
            values["context.protocol"] = "tcp"
        self._where(values, context.destination, extensions)
        _when(values, context.request, self._clock)
        return values

    def confirm(self, caller: Identity, values: Values) -> None:
        """Raises `Stranger` if a proxy asks about calls to a workload of another account.

        Of a workload that is not known yet its namespace must be the caller's.
        """
        uid = values.get("context.reporter.uid")
        workload = self._workloads.named(uid or "")
        if not belongs(caller, workload):
            raise Stranger(f"{caller} asks about calls to {uid}, which runs as another account")
        namespace = values.get("destination.namespace") or caller.namespace
        if workload is None and namespace != caller.namespace:
            raise Stranger(f"{caller} asks about calls to namespace {namespace}, where it does not run")

    def _where(self, values: Values, destination: Any, extensions: Mapping[str, str]) -> None:
        """Whom the call is for, and who asks."""
        for extension, attribute in COPIED.items():
            if extension in extensions:
                values[attribute] = extensions[extension]
        address = destination.address.socket_address
        here = self._workloads.named(extensions.get("destination.uid", ""))
        here = here or self._workloads.at(address.address)
        if here is not None:
            values.setdefault("context.reporter.uid", uid_of(here))
        if extensions.get("context.reporter.kind") == "outbound":
            self._sender(values, here)
        else:
            values.update(peer("destination", destination.principal))
            self._receiver(values, here, address, extensions)

    def _sender(self, values: Values, gateway: Workload | None) -> None:
        """At a gateway the gateway is the source, as in classic Istio, but for the caller's own address."""
        if gateway is not None:
            values.update(self._workloads.source(gateway))
            values["source.ip"] = values["origin.ip"]
        host = values.get("destination.service.host")
        if host:
            values.update(self._workloads.service(host))

    def _receiver(
        self, values: Values, here: Workload | None, address: Any, extensions: Mapping[str, str]
    ) -> None:
        if here is not None:
            values.update(self._workloads.destination(here))
        else:
            values["destination.uid"] = extensions.get("destination.uid")
            values["destination.ip"] = packed(address.address)
        port = _number(extensions.get("destination.port", "")) or address.port_value
        values["destination.port"] = port
        self._service(values, here, port, extensions.get("destination.service.host", ""))

    def _service(self, values: Values, workload: Workload | None, port: int, host: str) -> None:
        """The service: as Pilot says, or the one at that port whose name was asked for, or the first."""
        if not host and workload is not None:
            hosts = self._workloads.services_at(workload.address, port)
            host = chosen(hosts, values.get("request.host") or "")
        if host:
            values.update(self._workloads.service(host))
            values["api.service"] = host


def chosen(hosts: tuple[str, ...], authority: str) -> str:
    """Which of several services a request is for, by its host; the first if none of them was named."""
    if len(hosts) < 2 or not authority:
        return hosts[0] if hosts else ""
    asked = authority.partition(":")[0]
    return next((host for host in hosts if host == asked or host.startswith(f"{asked}.")), hosts[0])


def _number(text: str) -> int:
    """A number that a proxy says; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _http(values: Values, http: Any) -> None:
    headers = dict(http.headers)
    path = http.path
    url_path, _, query = path.partition("?")
    values["request.headers"] = headers
    values["request.path"] = path
    values["request.url_path"] = url_path
    if query:
        values["request.query_params"] = dict(parse_qsl(query, keep_blank_values=True))
    values["request.method"] = http.method
    values["request.host"] = http.host
    values["request.scheme"] = http.scheme or headers.get("x-forwarded-proto")
    values["request.id"] = headers.get("x-request-id") or http.id or None
    values["request.referer"] = headers.get("referer")
    values["request.useragent"] = headers.get("user-agent")
    values["request.api_key"] = headers.get("x-api-key")
    values["request.size"] = http.size if http.size >= 0 else None
    values["context.protocol"] = values["api.protocol"] = "grpc" if _is_grpc(headers) else "http"


def _is_grpc(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("application/grpc")


def _token(values: Values, metadata: Mapping[str, Any]) -> None:
    """Attributes of a token that Envoy has verified (classic: `request.auth.*`)."""
    if JWT not in metadata:
        return
    claims = MessageToDict(metadata[JWT]).get(PAYLOAD)
    if not isinstance(claims, dict):
        return
    values["request.auth.raw_claims"] = json.dumps(claims, separators=(",", ":"))
    texts = {key: text for key, value in claims.items() if (text := _text(value)) is not None}
    values["request.auth.claims"] = texts
    values["request.auth.audiences"] = texts.get("aud")
    values["request.auth.presenter"] = texts.get("azp")
    if "iss" in texts and "sub" in texts:
        values["request.auth.principal"] = f"{texts['iss']}/{texts['sub']}"


def _text(claim: Any) -> str | None:
    """A claim as text: lists joined by commas; None for what is nested."""
    if isinstance(claim, str):
        return claim
    if isinstance(claim, bool):
        return "true" if claim else "false"
    if isinstance(claim, float):
        return str(int(claim)) if claim.is_integer() else str(claim)
    if isinstance(claim, list) and all(isinstance(each, str) for each in claim):
        return ",".join(claim)
    return None


def _when(values: Values, request: Any, clock: Callable[[], float]) -> None:
    values["context.time"] = values["context.timestamp"] = datetime.fromtimestamp(clock(), UTC)
    if request.HasField("time"):
        time = request.time
        values["request.time"] = datetime.fromtimestamp(time.seconds + time.nanos / 1e9, UTC)
