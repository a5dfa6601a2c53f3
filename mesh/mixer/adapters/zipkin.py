"""`zipkin`: spans to a collector as Zipkin v2 JSON (Zipkin, Jaeger, Tempo, OpenTelemetry's collector).

Source: Zipkin's API (`POST /api/v2/spans`).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp

from mesh.api.checks import Fault, check
from mesh.mixer.adapters.batches import Batches, export_metrics
from mesh.mixer.adapters.exporting import ExportParams, post, session, spans_of, url_faults
from mesh.mixer.tracing.spans import Span
from mesh.rules.adapter import Adapter, Environment, Instance

PATH = "/api/v2/spans"


class ZipkinParams(ExportParams):
    """`url` of the collector; without a path it is Zipkin's own."""

    url: str

    @check
    def _url(self) -> Iterator[Fault]:
        yield from url_faults("url", self.url)

    def target(self) -> str:
        """The URL with its path."""
        return self.url if urlsplit(self.url).path.strip("/") else self.url.rstrip("/") + PATH


class Zipkin(Adapter[ZipkinParams]):
    """Sends each span once."""

    name: ClassVar[str] = "zipkin"
    templates: ClassVar[frozenset[str]] = frozenset({"tracespan"})
    Params = ZipkinParams

    def __init__(self, params: ZipkinParams, environment: Environment) -> None:
        super().__init__(params, environment)
        metrics = export_metrics(environment.metrics)
        self._batches: Batches[Span] = Batches(environment.handler, self._send, metrics, params.limits())
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Begin to send; a collector that is away is no reason not to."""
        self._session = session(self.params.timeout)
        self.environment.background(self._batches.run(), "export")

    async def close(self) -> None:
        """Send what waits, within reason."""
        if self._session is None:
            return
        await self._batches.close()
        await self._session.close()

    def report(self, instances: Sequence[Instance]) -> None:
        """Queue spans."""
        self._batches.put(spans_of(instances, self.params.sample_probability))

    async def _send(self, spans: Sequence[Span]) -> None:
        if self._session is None:
            return
        headers = {"content-type": "application/json", **self.params.headers}
        await post(self._session, self.params.target(), encoded(spans), headers)


def encoded(spans: Sequence[Span]) -> bytes:
    """A list of spans as JSON."""
    plain: list[dict[str, Any]] = [each.plain() for each in spans]
    return json.dumps(plain, separators=(",", ":")).encode()
