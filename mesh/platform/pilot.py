"""Pilot's debug interface as people and tests reach it: by a port forwarded to its Pod. Synchronous."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from mesh.platform.forward import Answer, CannotForward, Forward

NAMESPACE = "istio-system"
SELECTOR = "app=istio-pilot"
PORT = 15014

Obj = Mapping[str, Any]


class PilotRefused(Exception):
    """Pilot answered that it will not, or cannot; the text is its reason."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PilotDebug:
    """Connections to the running Pilot, kept; its Pod is found anew when it was replaced.

    `find` gives the name of a Pod of Pilot that is ready, and raises what its user understands if there is
    none. `client` is a `kubernetes` ApiClient. Threads may share it: each request has a connection to itself.
    """

    def __init__(
        self, client: Any, find: Callable[[], str], *, namespace: str = NAMESPACE, port: int = PORT
    ) -> None:
        self._port = port
        self._client = client
        self._find = find
        self._namespace = namespace
        self._idle: list[Forward] = []

    def __repr__(self) -> str:
        return f"<PilotDebug, kept: {self._idle}>"

    def close(self) -> None:
        """Close the connections; the next request makes another."""
        while self._idle:
            self._idle.pop().close()

    def request(self, method: str, path: str, body: Any = None, *, timeout: float = 30.0) -> Any:
        """One request; the answer's JSON, or its text if it is none.

        Raises `CannotForward` if Pilot cannot be reached, `PilotRefused` with its words if it refuses.
        Requests are sent again if a connection breaks, so they must not change anything.
        """
        kept = bool(self._idle)
        try:
            return self._ask(method, path, body, timeout)
        except CannotForward:
            self.close()
            if not kept:
                raise
        return self._ask(method, path, body, timeout)

    def _ask(self, method: str, path: str, body: Any, timeout: float) -> Any:
        forward = self._take()
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            answer = forward.request(method, f"/{path.lstrip('/')}", data, headers=headers, timeout=timeout)
        except BaseException:
            forward.close()
            raise
        self._idle.append(forward)
        return _understood(answer)

    def _take(self) -> Forward:
        try:
            return self._idle.pop()
        except IndexError:
            return Forward(self._client, self._namespace, self._find(), self._port)


def _understood(answer: Answer) -> Any:
    """The answer's JSON or text; raises `PilotRefused`."""
    try:
        found = json.loads(answer.body) if answer.body else None
    except ValueError:
        found = answer.text
    if answer.status >= 400:
        words = found.get("message") if isinstance(found, dict) else found
        raise PilotRefused(str(words or f"Pilot answered {answer.status}"), answer.status)
    return found


def is_ready(pod: Obj) -> bool:
    """Whether a Pod's Ready condition is true and it is not being deleted."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
