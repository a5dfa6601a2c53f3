"""HTTP/1.1 for the agent's small needs, by h11: a server for probes and Pilot, a client for Envoy's admin.

aiohttp would cost every Pod a quarter of a second of start-up.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import h11

CHUNK = 65536
IDLE = 60.0  # seconds until a connection without a request is closed


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; `path` keeps its query, `peer` is the caller's address, headers are in lower case."""

    method: str
    path: str
    peer: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    location: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ask: `source` is the address to come from, `tls` a context if it is HTTPS."""

    host: str
    port: int
    source: str = ""
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Handler = Callable[[Request], Awaitable[Response]]


async def serve(host: str, port: int, handler: Handler) -> asyncio.Server:
    """Serve `handler` until the server is closed; connections are kept."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, h11.ProtocolError, TimeoutError, asyncio.IncompleteReadError):
            await _converse(reader, writer, handler)
        writer.close()

    return await asyncio.start_server(connection, host, port)


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    state = h11.Connection(h11.SERVER)
    peer = str(writer.get_extra_info("peername")[0])
    while True:
        event = await _next(state, reader)
        if isinstance(event, h11.Request):
            asked = Request(event.method.decode(), event.target.decode(), peer, _text(event.headers))
        elif isinstance(event, h11.EndOfMessage):
            writer.write(_encode(state, await handler(asked)))
            await writer.drain()
            if state.our_state is not h11.DONE:
                return
            state.start_next_cycle()
        elif isinstance(event, h11.ConnectionClosed):
            return


async def _next(state: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := state.next_event()) is h11.NEED_DATA:
        async with asyncio.timeout(IDLE):
            state.receive_data(await reader.read(CHUNK))
    return event


def _encode(state: h11.Connection, response: Response) -> bytes:
    headers = [("content-type", response.content_type), ("content-length", str(len(response.body)))]
    head = state.send(h11.Response(status_code=response.status, headers=headers)) or b""
    return head + (state.send(h11.Data(response.body)) or b"") + (state.send(h11.EndOfMessage()) or b"")


def _text(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


async def fetch(port: int, path: str, *, method: str = "GET", timeout: float = 2.0) -> Response:  # noqa: ASYNC109
    """One request to a port of this Pod; `OSError` or `TimeoutError` if nobody answers in time."""
    async with asyncio.timeout(timeout):
        return await ask(Place("127.0.0.1", port), method, path, (("host", "127.0.0.1"),))


async def ask(
    place: Place, method: str, path: str, headers: Sequence[tuple[str, str]], *, most: int | None = None
) -> Response:
    """One request without a body; `headers` must name the host. `OSError` if nobody answers.

    Of a body, no more than `most` bytes are read and kept.
    """
    local = (place.source, 0) if place.source else None
    reader, writer = await asyncio.open_connection(place.host, place.port, local_addr=local, ssl=place.tls)
    try:
        request = h11.Request(method=method, target=path, headers=_framed(headers))
        return await _ask(reader, writer, request, most)
    except h11.ProtocolError as error:
        raise ConnectionError(f"{place}{path}: {error}") from None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _framed(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers with those that make it one request without a body."""
    own = {"content-length", "connection", "transfer-encoding"}
    kept = [each for each in headers if each[0].lower() not in own]
    return [*kept, ("content-length", "0"), ("connection", "close")]


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, most: int | None
) -> Response:
    state = h11.Connection(h11.CLIENT)
    writer.write((state.send(request) or b"") + (state.send(h11.EndOfMessage()) or b""))
    status, headers, body = 0, {}, bytearray()
    while not isinstance(event := await _next(state, reader), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status, headers = event.status_code, dict(_text(event.headers))
        elif isinstance(event, h11.Data):
            body += event.data
            if most is not None and len(body) >= most:
                break
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("closed before the answer was complete")
    return Response(status, bytes(body[:most]), headers.get("content-type", ""), headers.get("location", ""))
