"""HTTP to a port on a Pod's loopback, through the API server: what `kubectl port-forward` does, in process.

For callers on loopback only a Pod may open what is nobody else's business; who may forward ports decides the
API server. The connection is kept for as long as it can be used. Synchronous.

Source of the protocol: Kubernetes' `v4.channel.k8s.io` for `portforward`: the first message of each channel
carries the port; channel 0 is data, channel 1 what went wrong.
"""

import contextlib
import http.client
import io
import json
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, cast
from urllib.parse import quote

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
PREFACE = 3  # bytes of each channel's first message: channel and port


class CannotForward(ConnectionError):
    """The Pod cannot be reached by a forwarded port; the text says why."""


class LostConnection(CannotForward):
    """The connection ended before the answer came. The request may or may not have been seen."""


class Answer:
    """Status and body of an answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


class Forward:
    """A kept HTTP connection to `port` on the loopback of a Pod. `client`: a `kubernetes` ApiClient."""

    def __init__(self, client: Any, namespace: str, pod: str, port: int) -> None:
        self.pod = pod
        self._client = client
        self._namespace = namespace
        self._port = port
        self._name = f"Pod {namespace}/{pod}, port {port}"
        self._http: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"<Forward to {self._name}>"

    def __enter__(self) -> "Forward":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        """One request. `timeout` is for each piece of the answer, in seconds.

        Raises `CannotForward` if there is no way to the Pod, `LostConnection` if it broke on the way. A kept
        connection may turn out to be closed: the request is then sent again on a new one, so it must not
        matter whether it is seen twice.
        """
        kept = self._http is not None
        try:
            return self._send(method, path, body, headers or {}, timeout)
        except LostConnection:
            if not kept:
                raise
        return self._send(method, path, body, headers or {}, timeout)

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        connection = self._connection(timeout)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            found = Answer(answer.status, answer.read())
        except CannotForward:
            self.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise LostConnection(f"{self._name}: {error or type(error).__name__}") from None
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return found

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._http is None:
            self._http = http.client.HTTPConnection("localhost")
            self._http.auto_open = 0  # it must never dial by itself
            self._http.sock = cast("Any", dial(self._client, self._namespace, self.pod, self._port))
        self._http.sock.settimeout(timeout)
        return self._http


def dial(client: Any, namespace: str, pod: str, port: int) -> "Tunnel":
    """A connection to `port` on a Pod's loopback, by the API server, logged in as `client` is.

    Raises `CannotForward`.
    """
    import websocket
    from kubernetes.stream import ws_client

    name = f"Pod {namespace}/{pod}, port {port}"
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward?ports={port}"
    library: Any = ws_client  # without annotations
    configuration = client.configuration
    login = configuration.auth_settings().values()  # asked anew: a token may have been renewed
    headers = {each["key"]: each["value"] for each in login if each["in"] == "header" and each["value"]}
    headers["sec-websocket-protocol"] = PROTOCOL
    url = library.get_websocket_url(configuration.host + path)
    try:
        return Tunnel(library.create_websocket(configuration, url, headers), name)
    except websocket.WebSocketBadStatusException as error:
        raise CannotForward(f"{name}: the API server refuses: {refusal(error)}") from None
    except (OSError, websocket.WebSocketException) as error:
        raise CannotForward(f"{name}: the API server does not answer: {error}") from None


class Tunnel:
    """One forwarded connection, with as much of a socket's interface as `http.client` uses."""

    def __init__(self, websocket: Any, name: str) -> None:
        self._websocket = websocket
        self._name = name
        self._begun: set[int] = set()
        self._readers = 0
        self._closing = False

    def settimeout(self, seconds: float | None) -> None:
        """How long to wait for each message."""
        self._websocket.settimeout(seconds)

    def sendall(self, data: bytes) -> None:
        """Send into the Pod."""
        with self._failures():
            self._websocket.send_binary(bytes([DATA]) + bytes(data))

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        """What comes out of the Pod, for reading."""
        self._readers += 1
        return io.BufferedReader(Incoming(self))

    def receive(self) -> bytes:
        """The next piece from the Pod; empty at the end."""
        while True:
            with self._failures():
                message = self._websocket.recv()
            if not message:
                return b""
            channel, content = message[0], message[1:]
            if channel not in self._begun:
                self._begun.add(channel)
                content = message[PREFACE:]
            if channel == ERROR and content:
                raise CannotForward(f"{self._name}: {content.decode(errors='replace')}")
            if channel == DATA and content:
                return bytes(content)

    def close(self) -> None:
        """End the connection, as soon as nobody reads from it any more; as sockets do it."""
        self._closing = True
        if not self._readers:
            self._websocket.shutdown()

    def release(self) -> None:
        """A reader is closed."""
        self._readers -= 1
        if self._closing:
            self.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        import websocket

        try:
            yield
        except websocket.WebSocketTimeoutException:
            raise LostConnection(f"{self._name}: no answer in time") from None
        except (websocket.WebSocketException, OSError) as error:
            raise LostConnection(f"{self._name}: {error or type(error).__name__}") from None


class Incoming(io.RawIOBase):
    """The bytes that a tunnel receives."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, waiting for at least one byte unless it has ended."""
        piece = self._rest or self._tunnel.receive()
        count = min(len(buffer), len(piece))
        buffer[:count] = piece[:count]
        self._rest = piece[count:]
        return count

    def close(self) -> None:
        """Stop reading."""
        if not self.closed:
            super().close()
            self._tunnel.release()


def refusal(error: Any) -> str:
    """Why there is no websocket: the API server's words, if it sent any, else the error's."""
    try:
        return str(json.loads(error.resp_body)["message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        return str(error)
