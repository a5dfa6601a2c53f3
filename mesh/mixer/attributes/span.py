"""The attributes of a span: what `tracespan` rules are evaluated over.

Envoy's tags say what was called and how it ended, `node_id` says at which proxy. The context that rules of
classic Mixer read from `request.headers` (`x-b3-traceid`, `x-b3-spanid`, `x-b3-parentspanid`) is the span's
own.
Source: Envoy's tags of spans (`docs: Tracing, data each trace contains`), Istio 1.6 attribute vocabulary.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mesh.mixer.attributes.workload import Workloads, packed, peer
from mesh.mixer.tracing.spans import Span
from mesh.model.service import Workload
from mesh.rules.workloads import UID

HEADER_TAG = "http.request.header."
"""Before the names of tags that carry request headers; Pilot asks Envoy for those that rules refer to."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OUTBOUND, INBOUND = "outbound", "inbound"


def attributes(span: Span, workloads: Workloads) -> dict[str, Any]:
    """All that is known of a span's call; what is not known is left out."""
    reporter = OUTBOUND if span.kind == "CLIENT" else INBOUND
    found: dict[str, Any] = {
        "context.reporter.kind": reporter,
        "context.protocol": "grpc" if "grpc.status_code" in span.tags else "http",
        **times(span),
        **request(span),
        **response(span.tags),
        **parties(span, reporter, workloads),
    }
    return {name: value for name, value in found.items() if value is not None}


def times(span: Span) -> dict[str, Any]:
    """When it began and ended."""
    begun = EPOCH + timedelta(microseconds=span.timestamp)
    took = timedelta(microseconds=span.duration)
    return {
        "context.time": begun,
        "request.time": begun,
        "response.time": begun + took,
        "response.duration": took,
    }


def request(span: Span) -> dict[str, Any]:
    """What was asked for."""
    tags = span.tags
    url = urlsplit(tags.get("http.url", ""))
    path = f"{url.path}?{url.query}" if url.query else url.path
    return {
        "request.headers": headers(span, url.netloc, path),
        "request.host": url.netloc or None,
        "request.scheme": url.scheme or None,
        "request.path": path or None,
        "request.url_path": url.path or None,
        "request.query_params": dict(parse_qsl(url.query)) if url.query else None,
        "request.method": tags.get("http.method"),
        "request.useragent": tags.get("user_agent"),
        "request.id": tags.get("guid:x-request-id"),
        "request.size": number(tags.get("request_size")),
    }


def headers(span: Span, host: str, path: str) -> Mapping[str, str]:
    """The request's headers as far as a span tells them, and the context of the span itself."""
    tags = span.tags
    found = {
        name.removeprefix(HEADER_TAG): value for name, value in tags.items() if name.startswith(HEADER_TAG)
    }
    known = {
        ":authority": host,
        ":path": path,
        ":method": tags.get("http.method"),
        "user-agent": tags.get("user_agent"),
        "x-request-id": tags.get("guid:x-request-id"),
        "x-b3-traceid": span.trace_id,
        "x-b3-spanid": span.id,
        "x-b3-parentspanid": span.parent_id,
        "x-b3-sampled": "1",
    }
    return {**found, **{name: value for name, value in known.items() if value}}


def response(tags: Mapping[str, str]) -> dict[str, Any]:
    """How it ended."""
    flags = tags.get("response_flags", "-")
    return {
        "response.code": number(tags.get("http.status_code")),
        "response.size": number(tags.get("response_size")),
        "response.grpc_status": tags.get("grpc.status_code"),
        "context.proxy_error_code": flags if flags != "-" else None,
    }


def parties(span: Span, reporter: str, workloads: Workloads) -> dict[str, Any]:
    """Who called whom: one end is the proxy's workload, the other is told by its address."""
    here = reporting(span, workloads)
    host = service_host(span.tags.get("upstream_cluster", ""))
    if reporter == OUTBOUND:
        there = at(workloads, span.tags.get("upstream_address", ""))
        found = side(workloads, "source", here) | side(workloads, "destination", there)
    else:
        there = at(workloads, span.tags.get("peer.address", ""))
        found = side(workloads, "source", there) | side(workloads, "destination", here)
        host = host or own_host(span, here, workloads)
    if host:
        found |= workloads.service(host)
    if reporter == INBOUND:
        found |= peer("source", principal(span.tags))
    if here is not None:
        found["context.reporter.uid"] = f"{UID}{here.name}.{here.namespace}"
    return found


def principal(tags: Mapping[str, str]) -> str:
    """The URI that the caller's certificate proves; empty without one."""
    found = tags.get("peer.principal", "-")
    return "" if found == "-" else found.split(",")[0]


def reporting(span: Span, workloads: Workloads) -> Workload | None:
    """The workload whose proxy made a span, by the node's id, else by its address."""
    parts = span.tags.get("node_id", "").split("~")
    found = workloads.named(f"{UID}{parts[2]}") if len(parts) == 4 else None
    return found or at(workloads, span.local.ip)


def side(workloads: Workloads, name: str, workload: Workload | None) -> dict[str, Any]:
    """One side's attributes; empty if nobody knows it."""
    if workload is None:
        return {}
    made = workloads.source if name == "source" else workloads.destination
    return dict(made(workload))


def at(workloads: Workloads, address: str) -> Workload | None:
    """The workload at `IP` or `IP:PORT`."""
    ip = address.rpartition(":")[0] if address.count(":") == 1 else address.strip("[]")
    return workloads.at(ip) if ip and packed(ip) is not None else None


def service_host(cluster: str) -> str:
    """The host name in `outbound|PORT|SUBSET|HOST`; empty if it names none.

    >>> service_host("outbound|3002|v1|forecast.weather.svc.cluster.local")
    'forecast.weather.svc.cluster.local'
    """
    parts = cluster.split("|")
    return parts[3] if len(parts) == 4 else ""


def own_host(span: Span, here: Workload | None, workloads: Workloads) -> str:
    """The service that a server's span is of: the workload's, by the port in `inbound|PORT||`; of several the
    one that was asked for.
    """
    parts = span.tags.get("upstream_cluster", "").split("|")
    if here is None or len(parts) != 4 or not parts[1].isdecimal():
        return ""
    return asked_for(workloads.services_at(here.address, int(parts[1])), span.tags.get("http.url", ""))


def asked_for(hosts: Iterable[str], url: str) -> str:
    """Of several services the one whose name was called, else the first."""
    name = (urlsplit(url).hostname or "").split(".")[0]
    every = list(hosts)
    return next((each for each in every if each.split(".")[0] == name), every[0] if every else "")


def number(text: str | None) -> int | None:
    """A tag that is a whole number."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None
