"""Zipkin's HTTP interface: spans in (POST), queries out.

Source: Zipkin's API v2 (`zipkin2-api.yaml`). `take` gets each new span once and gives back the tags that
rules add to it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from mesh.mixer.tracing.query import BadQuery, dependencies, read_query, time_of
from mesh.mixer.tracing.spans import BadSpan, Span, read_spans, trace_id
from mesh.mixer.tracing.store import SpanStore

Take = Callable[[Span], Mapping[str, str]]
BASE = "/api/v2"


def routes(store: SpanStore, take: Take, clock: Callable[[], float] = time.time) -> list[web.RouteDef]:
    """Routes for an application; the store is whole after each POST that was answered."""
    api = Api(store, take, clock)
    found = {
        "services": api.services,
        "spans": api.span_names,
        "remoteServices": api.remotes,
        "traces": api.traces,
        "traceMany": api.many,
        "trace/{id}": api.trace,
        "dependencies": api.dependencies,
        "autocompleteKeys": nothing,
        "autocompleteValues": nothing,
    }
    return [
        web.post(f"{BASE}/spans", api.post),
        *(web.get(f"{BASE}/{name}", handler) for name, handler in found.items()),
    ]


class Api:
    """The handlers."""

    def __init__(self, store: SpanStore, take: Take, clock: Callable[[], float]) -> None:
        self._store = store
        self._take = take
        self._clock = clock

    async def post(self, request: web.Request) -> web.Response:
        """202 once all spans are taken; nothing of a body that is wrong is."""
        if request.content_type not in {"application/json", "application/octet-stream"}:
            raise web.HTTPUnsupportedMediaType(
                text=f"Content-Type is {request.content_type}; send Zipkin v2 as application/json\n"
            )
        try:
            spans = read_spans(await request.read())
        except BadSpan as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        for each in spans:
            if not self._store.has(each):
                self._store.put(each.tagged(self._take(each)))
        return web.Response(status=202)

    async def services(self, _: web.Request) -> web.Response:
        """Names of services."""
        return web.json_response(self._store.services())

    async def span_names(self, request: web.Request) -> web.Response:
        """Names of a service's spans."""
        return web.json_response(self._store.names(service_of(request)))

    async def remotes(self, request: web.Request) -> web.Response:
        """Names of services at the other end."""
        return web.json_response(self._store.remotes(service_of(request)))

    async def traces(self, request: web.Request) -> web.Response:
        """Traces that a query is for."""
        try:
            query = read_query(request.query, self._clock())
        except BadQuery as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        return web.json_response([plain(each) for each in self._store.traces(query)])

    async def trace(self, request: web.Request) -> web.Response:
        """One trace; 404 if it is not there (any more)."""
        found = self._store.trace(id_of(request.match_info["id"]))
        if not found:
            raise web.HTTPNotFound(text=f"{request.match_info['id']} not found\n")
        return web.json_response(plain(found))

    async def many(self, request: web.Request) -> web.Response:
        """Several traces; those that are not there are left out."""
        wanted = [id_of(each) for each in request.query.get("traceIds", "").split(",") if each]
        found = (self._store.trace(each) for each in dict.fromkeys(wanted))
        return web.json_response([plain(each) for each in found if each])

    async def dependencies(self, request: web.Request) -> web.Response:
        """Who called whom in a time."""
        try:
            end, lookback = time_of(request.query, self._clock())
        except BadQuery as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        traces = self._store.between((end - lookback) * 1000, end * 1000 + 999)
        return web.json_response(dependencies(traces))


async def nothing(_: web.Request) -> web.Response:
    """What this store does not keep."""
    return web.json_response([])


def plain(spans: list[Span]) -> list[dict[str, Any]]:
    """Spans as JSON."""
    return [each.plain() for each in spans]


def service_of(request: web.Request) -> str:
    """The parameter `serviceName`."""
    found = request.query.get("serviceName", "")
    if not found:
        raise web.HTTPBadRequest(text="serviceName is missing; name one of /api/v2/services\n")
    return found


def id_of(text: str) -> str:
    """An id of a trace."""
    try:
        return trace_id(text)
    except BadSpan as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None
