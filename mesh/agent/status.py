"""The agent's port (15020): is the proxy ready, is anything warming, what are the metrics."""

import json
from collections.abc import Awaitable, Callable

from mesh.agent.admin import Admin
from mesh.agent.http import Request, Response

LOCAL = ("127.0.0.1", "::1")


class Status:
    """Answers for the proxy of this Pod. `draining` makes it not ready, whatever Envoy says."""

    def __init__(self, admin: Admin, quit_now: Callable[[], None]) -> None:
        self.draining = False
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
        found = self._answers.get((request.method, request.path.partition("?")[0]))
        if found is None:
            known = ", ".join(f"{method} {path}" for method, path in self._answers)
            return Response(404, f"pilot-agent answers {known}\n".encode())
        try:
            return await found(request)
        except (OSError, TimeoutError, ValueError) as error:
            return Response(503, f"Envoy does not answer: {error or type(error).__name__}\n".encode())

    async def ready(self, _: Request) -> Response:
        """200 once Envoy serves its first configuration; 503 before, and while draining."""
        if self.draining:
            return Response(503, b"draining\n")
        why = await self._admin.unready()
        return Response(503, f"{why}\n".encode()) if why else Response(200, b"ready\n")

    async def warming(self, _: Request) -> Response:
        """How many clusters and listeners are accepted but not in use."""
        return Response(200, json.dumps(await self._admin.warming()).encode(), "application/json")

    async def metrics(self, _: Request) -> Response:
        """Envoy's metrics in Prometheus' form."""
        return await self._admin.prometheus()

    async def leave(self, request: Request) -> Response:
        """End the proxy, when asked from this Pod (a Job's main container is done)."""
        if request.peer not in LOCAL:
            return Response(403, b"only from this Pod\n")
        self._quit()
        return Response(200, b"leaving\n")
