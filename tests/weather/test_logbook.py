"""The logbook takes every mode of the forward protocol, and says that it did."""

import socket
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from pytest_mesh import eventually
from tests.weather.conftest import Start

pytestmark = pytest.mark.behaviour("H2")


def test_a_logbook_keeps_what_is_forwarded(start: Start, free_port: int) -> None:
    book = start("logbook", TCP_PORT=str(free_port))
    stamp = msgpack.ExtType(0, (5).to_bytes(4, "big") + (500_000_000).to_bytes(4, "big"))
    packed = msgpack.packb([3, {"n": 4}])
    messages: list[Any] = [
        ["one", 1, {"n": 1}],
        ["many", [[2, {"n": 2}], [stamp, {"n": 3}]], {"chunk": "abc"}],
        ["packed", packed, {"size": 1}],
    ]
    with socket.create_connection(("127.0.0.1", free_port), 10) as connection:
        connection.sendall(b"".join(map(msgpack.packb, messages)))
        assert msgpack.unpackb(connection.recv(100)) == {"ack": "abc"}
    eventually(lambda: len(book.get("/entries").json()) == 4)
    entries = book.get("/entries").json()
    assert [(e["tag"], e["time"], e["record"]["n"]) for e in entries] == [
        ("one", 1, 1), ("many", 2, 2), ("many", 5.5, 3), ("packed", 3, 4),
    ]  # fmt: skip
    assert len(book.get("/entries?tag=many").json()) == 2
    assert book.delete("/entries").status_code == 204
    assert book.get("/entries").json() == []
