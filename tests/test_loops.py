"""What a test leaves open is that test's failure."""

import asyncio
import gc
import socket
import ssl
from pathlib import Path

import pytest

from tests import loops
from tests.pocketkube.api.rig import Certificate

pytestmark = pytest.mark.behaviour("H2")


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\n")
    writer.close()


def test_what_stays_open_is_named() -> None:
    left, right = socket.socketpair()

    async def careless() -> None:
        asyncio.get_running_loop().add_reader(left, left.recv, 1)

    with left, right, pytest.raises(loops.StillOpen, match=rf"{left.fileno()}: .*socket"):
        loops.run(careless(), patience=0.05)


def test_a_connection_over_tls_gets_the_time_to_say_goodbye(tmp_path: Path) -> None:
    certificate = Certificate.make("localhost")
    trust = ssl.create_default_context(cadata=certificate.pem.decode())

    async def talk() -> bytes:
        server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=certificate.context(tmp_path))
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname="localhost"
        )
        line = await reader.readline()
        writer.close()  # and nobody waits for it
        server.close()
        return line

    assert loops.run(talk()) == b"hello\n"
    gc.collect()  # an unclosed transport would warn here, and a warning is an error


def test_a_failure_is_not_hidden_by_what_it_left_open() -> None:
    left, right = socket.socketpair()

    async def fail() -> None:
        _, writer = await asyncio.open_connection(sock=left)
        writer.close()
        raise LookupError("the reason")

    with right, pytest.raises(LookupError, match="the reason"):
        loops.run(fail())
