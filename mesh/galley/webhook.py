"""The validating webhook: the API server asks `/validate` before it takes an object of the mesh's kinds."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from aiohttp import web

from mesh.galley.admission import Nothing, Present
from mesh.galley.metrics import Metrics
from mesh.galley.review import ReviewProblem, judge_among
from mesh.pki.holder import Holder
from mesh.pki.serving import server_context
from mesh.ports import bound

LARGEST_BODY = 8 * 1024 * 1024
PATH = "/validate"


class Webhook:
    """Answers AdmissionReviews. `present` is what Mixer's objects are held against beside themselves."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.present: Present = Nothing()

    def routes(self) -> list[web.RouteDef]:
        """Its paths, for a server of its own or one that is shared."""
        return [web.post(PATH, self.validate)]

    async def validate(self, request: web.Request) -> web.Response:
        """POST /validate: an AdmissionReview in and out; anything else gets 400 with the reason."""
        begun = perf_counter()
        try:
            verdict = await judge_among(json.loads(await request.read()), self.present)
        except (ReviewProblem, ValueError, RecursionError) as error:
            self.metrics.unreadable.labels("400").inc()
            return web.Response(status=400, text=f"{error}\n")
        if verdict.reason:
            self.metrics.failed.labels(verdict.group, verdict.kind, verdict.reason).inc()
        else:
            self.metrics.passed.labels(verdict.group, verdict.kind).inc()
        self.metrics.seconds.observe(perf_counter() - begun)
        return web.json_response(verdict.answer())


@asynccontextmanager
async def listening(webhook: Webhook, identity: Holder, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve the webhook over TLS with the identity's present certificate; the port that was bound.

    Raises `CannotListen`.
    """
    app = web.Application(client_max_size=LARGEST_BODY)
    app.add_routes(webhook.routes())
    async with bound(app, host, port, tls=server_context(identity), what="webhooks") as taken:
        yield taken
