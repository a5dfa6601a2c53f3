"""HTTP/1.1 for the agent's small needs, by h11: a server for probes and Pilot, a client for Envoy's admin.

aiohttp would cost every Pod a quarter of a second of start-up.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import h11

CHUNK = 65536
IDLE = 60.0  # seconds until a connection without a request is closed


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; `path` keeps its query, `peer` is the caller's address."""

    method: str
    path: str
    peer: str


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


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
            asked = Request(event.method.decode(), event.target.decode(), peer)
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


async def fetch(port: int, path: str, *, method: str = "GET", timeout: float = 2.0) -> Response:  # noqa: ASYNC109
    """One request to a port of this Pod; `OSError` or `TimeoutError` if nobody answers in time."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await _ask(reader, writer, method, path)
        except h11.ProtocolError as error:
            raise ConnectionError(f"127.0.0.1:{port}{path}: {error}") from None
        finally:
            writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str
) -> Response:
    state = h11.Connection(h11.CLIENT)
    headers = [("host", "127.0.0.1"), ("content-length", "0"), ("connection", "close")]
    asked = state.send(h11.Request(method=method, target=path, headers=headers)) or b""
    writer.write(asked + (state.send(h11.EndOfMessage()) or b""))
    status, kind, body = 0, "", bytearray()
    while not isinstance(event := await _next(state, reader), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
            kind = next((value.decode() for name, value in event.headers if name == b"content-type"), "")
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("closed before the answer was complete")
    return Response(status, bytes(body), kind)
