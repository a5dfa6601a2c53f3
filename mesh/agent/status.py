"""The agent's port (15020): is the proxy ready, is anything warming, what are the metrics."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mesh.agent.admin import Admin
from mesh.agent.http import Request, Response
from mesh.agent.prober import Prober

if TYPE_CHECKING:
    from mesh.agent.identity.identity import Identity

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
LOCAL = ("127.0.0.1", "::1")


class Status:
    """Answers for the proxy of this Pod. `draining` makes it not ready, whatever Envoy says.

    `identity` is None where the Pod needs none; `prober` carries out the kubelet's probes of the application.
    """

    def __init__(self, admin: Admin, quit_now: Callable[[], None], prober: Prober | None = None) -> None:
        self.draining = False
        self.identity: Identity | None = None
        self._prober = prober or Prober({}, "127.0.0.1")
        self._admin = admin
        self._quit = quit_now
        self._answers: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", "/healthz/ready"): self.ready,
            ("GET", "/debug/warming"): self.warming,
            ("GET", "/stats/prometheus"): self.metrics,
            ("POST", "/quitquitquit"): self.leave,
        }

    async def answer(self, request: Request) -> Response:
        """The response to any request."""
        path = request.path.partition("?")[0]
        if path in self._prober:
            return await self._prober.answer(request)
        found = self._answers.get((request.method, path))
        if found is None:
            known = ", ".join(f"{method} {path}" for method, path in self._answers)
            return Response(404, f"pilot-agent answers {known}\n".encode())
        try:
            return await found(request)
        except (OSError, TimeoutError, ValueError) as error:
            return Response(503, f"Envoy does not answer: {error or type(error).__name__}\n".encode())

    async def ready(self, _: Request) -> Response:
        """200 once the Pod can prove who it is and Envoy serves its first configuration; 503 with the reason
        before, and while draining.
        """
        if self.draining:
            return Response(503, b"draining\n")
        why = (self.identity.problem() if self.identity else "") or await self._admin.unready()
        return Response(503, f"{why}\n".encode()) if why else Response(200, b"ready\n")

    async def warming(self, _: Request) -> Response:
        """How many clusters and listeners are accepted but not in use."""
        return Response(200, json.dumps(await self._admin.warming()).encode(), "application/json")

    async def metrics(self, _: Request) -> Response:
        """Envoy's metrics and the agent's own, in Prometheus' form; the agent's alone while Envoy is away."""
        if self.identity is None:
            return await self._admin.prometheus()
        own = self.identity.metrics()
        try:
            found = await self._admin.prometheus()
        except (OSError, TimeoutError):
            return Response(200, own, PROMETHEUS)
        return Response(found.status, found.body + own, found.content_type)

    async def leave(self, request: Request) -> Response:
        """End the proxy, when asked from this Pod (a Job's main container is done)."""
        if request.peer not in LOCAL:
            return Response(403, b"only from this Pod\n")
        self._quit()
        return Response(200, b"leaving\n")
