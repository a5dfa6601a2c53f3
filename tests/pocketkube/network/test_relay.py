"""The way in from the host: bytes both ways, half-closed connections, pressure, refusal."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from pocketkube.network.relay import Network, Relay
from tests import loops

pytestmark = pytest.mark.behaviour("H1")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def relayed(handler: Handler) -> AsyncIterator[int]:
    """A port that leads to a server in (here) our own network."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    relay = Relay(Network(os.getpid()))
    async with server:
        port = await relay.listen(0, server.sockets[0].getsockname())
        yield port
        relay.shut_down()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when the client has said all."""
    data = await reader.read()
    writer.write(data[::-1])
    writer.close()


def test_a_half_closed_connection_still_brings_the_answer() -> None:
    async def scenario() -> bytes:
        async with relayed(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"question")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            return answer

    assert loops.run(scenario()) == b"noitseuq"


def test_much_data_goes_through_a_slow_reader() -> None:
    amount = 20 << 20

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(amount))
        await writer.drain()
        writer.close()

    async def scenario() -> int:
        async with relayed(pour) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            total = 0
            while data := await reader.read(1 << 16):
                total += len(data)
            writer.close()
            return total

    assert loops.run(scenario()) == amount


def test_many_connections_at_once() -> None:
    async def one(port: int, text: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def scenario() -> list[bytes]:
        async with relayed(echo) as port:
            return await asyncio.gather(*(one(port, b"%d" % number) for number in range(200)))

    assert loops.run(scenario()) == [str(number)[::-1].encode() for number in range(200)]


def test_where_nothing_listens_the_client_is_told() -> None:
    async def scenario() -> bytes:
        relay = Relay(Network(os.getpid()))
        port = await relay.listen(0, ("127.0.0.1", 1))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b"reset"
        finally:
            writer.close()
            relay.shut_down()

    assert loops.run(scenario()) in (b"", b"reset")


def test_a_taken_port_is_an_error() -> None:
    async def scenario() -> None:
        relay = Relay(Network(os.getpid()))
        port = await relay.listen(0, ("127.0.0.1", 1))
        with pytest.raises(OSError, match="in use"):
            await relay.listen(port, ("127.0.0.1", 1))
        relay.shut_down()

    loops.run(scenario())


def test_a_held_port_turns_clients_away_until_it_leads_somewhere() -> None:
    async def said(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"question")
            writer.write_eof()
            return await reader.read()
        except OSError:
            return b""
        finally:
            writer.close()

    async def scenario() -> list[bytes]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        relay = Relay(Network(os.getpid()))
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await relay.hold(listener)
        answers = [await said(port)]
        assert await relay.listen(port, server.sockets[0].getsockname()) == port
        answers.append(await said(port))
        relay.close(port)
        answers.append(await said(port))
        relay.shut_down()
        server.close()
        return answers

    assert loops.run(scenario()) == [b"", b"noitseuq", b""]
