"""What the exporters of spans have in common: parameters of the queue, spans from instances, HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import Field

from mesh.api.base import HeaderName, Model, PositiveDuration
from mesh.api.checks import Fault
from mesh.mixer.adapters.batches import UNCERTAIN, Limits, Lost, Unsent
from mesh.mixer.tracing.rules import text
from mesh.mixer.tracing.spans import Endpoint, Span
from mesh.rules.adapter import Instance

RETRY = frozenset({429, 502, 503, 504})
"""Statuses that say: not taken, try again (OTLP's specification; Zipkin's servers alike)."""

MICROSECONDS = 1_000_000
Share = Annotated[float, Field(ge=0, le=1)]


class ExportParams(Model):
    """How spans wait and go: see `Limits`. `sampleProbability` is the share of traces that is handed on, the
    same traces by everybody (by their ids); proxies have sampled before.
    """

    sample_probability: Share = 1.0
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 500
    flush_interval: PositiveDuration = 1.0
    timeout: PositiveDuration = 5.0
    close_timeout: PositiveDuration = 5.0
    headers: dict[HeaderName, str] = Field(default_factory=dict)

    def limits(self) -> Limits:
        """The queue's limits."""
        return Limits(self.queue_size, self.batch_size, self.flush_interval, self.close_timeout)


def url_faults(name: str, url: str) -> Iterator[Fault]:
    """What is wrong with a URL."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        yield Fault(
            name, f"is {url!r}, not a URL of HTTP", "write one like http://collector.observability:9411"
        )


def spans_of(instances: Sequence[Instance], share: float) -> Iterator[Span]:
    """The spans that instances describe, of the share of traces that is wanted."""
    for each in instances:
        span = span_of(each.values)
        if span is not None and chosen(span.trace_id, share):
            yield span


def chosen(trace_id: str, share: float) -> bool:
    """Whether a trace belongs to the share: by its last 56 bits, as W3C's Trace Context 2 has them random."""
    return share >= 1 or int(trace_id[-14:], 16) < share * 2**56


def span_of(values: Mapping[str, Any]) -> Span | None:
    """The span that an instance describes; None without the ids of trace and span.

    Fields are the template's (Istio: tracespan). The client's end is named by `source_*`, the server's by
    `destination_*`.
    """
    trace_id, span_id = values.get("trace_id", ""), values.get("span_id", "")
    if not trace_id or not span_id:
        return None
    client = bool(values.get("client_span"))
    source, destination = endpoint(values, "source"), endpoint(values, "destination")
    begun, ended = microseconds(values.get("start_time")), microseconds(values.get("end_time"))
    tags = {name: text(value) for name, value in (values.get("span_tags") or {}).items()}
    return Span(
        trace_id,
        span_id,
        values.get("parent_span_id", ""),
        "CLIENT" if client else "SERVER",
        values.get("span_name", ""),
        begun,
        max(1, ended - begun) if begun and ended else 0,
        source if client else destination,
        destination if client else source,
        {**known_tags(values), **tags},
    )


def known_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields that have no place in a span but among its tags."""
    names = {
        "http_status_code": "http.status_code",
        "api_protocol": "api.protocol",
        "request_size": "request.size",
        "request_total_size": "request.total_size",
        "response_size": "response.size",
        "response_total_size": "response.total_size",
    }
    return {tag: text(values[name]) for name, tag in names.items() if name in values}


def endpoint(values: Mapping[str, Any], side: str) -> Endpoint:
    """One end of the call."""
    ip = values.get(f"{side}_ip")
    return Endpoint(values.get(f"{side}_name", ""), text(ip) if ip else "")


def microseconds(at: datetime | None) -> int:
    """Microseconds since 1970; 0 if it is not known. Whole seconds and the rest apart: floats round."""
    if at is None:
        return 0
    return int(at.replace(microsecond=0).timestamp()) * MICROSECONDS + at.microsecond


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """POST a batch; the answer's body. Raises `Unsent` or `Lost`."""
    try:
        async with session.post(url, data=body, headers=headers) as response:
            answer = await response.read()
            if response.status in RETRY:
                raise Unsent(f"{url} answered {response.status}")
            if response.status >= 300:
                raise Lost(f"{url} answered {response.status}: {answer[:200].decode(errors='replace')}")
            return answer
    except aiohttp.ClientConnectorError as error:
        raise Unsent(f"{url} cannot be reached: {error}") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        raise Lost(f"{url} did not answer: {words}", UNCERTAIN) from None


def session(timeout: float) -> aiohttp.ClientSession:
    """A client. Connections are not kept: on one that is just being closed nobody knows what was taken."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout), connector=aiohttp.TCPConnector(force_close=True)
    )
