"""Lives in a network namespace and does there what a test asks: one JSON command a line, one answer a line.

Ends when its standard input does, so that no namespace outlives its test. Runs alone, by its path.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

SO_ORIGINAL_DST = 80
held: list[socket.socket] = []


def original(connection: socket.socket) -> str:
    """Where the caller wanted to go before the rules sent it here."""
    raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return f"{socket.inet_ntoa(raw[4:8])}:{struct.unpack('>H', raw[2:4])[0]}"


def listen(ports: list[int], name: str) -> None:
    """Listen for TCP and UDP; every caller is told who answers on which port, and where it was going."""
    for port in ports:
        tcp = socket.create_server(("0.0.0.0", port))
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", port))
        held.extend((tcp, udp))
        threading.Thread(target=answer_tcp, args=(tcp, f"{name} {port}"), daemon=True).start()
        threading.Thread(target=answer_udp, args=(udp, f"{name} {port} udp"), daemon=True).start()


def answer_tcp(listener: socket.socket, name: str) -> None:
    while True:
        with listener.accept()[0] as connection:
            try:
                target = original(connection)
            except OSError:
                target = "untouched"  # no rule has seen this connection
            connection.sendall(f"{name} {target}".encode())


def answer_udp(bound: socket.socket, name: str) -> None:
    while True:
        bound.sendto(name.encode(), bound.recvfrom(99)[1])


def connect(address: str, port: int, *, uid: int = 1000, gid: int = 1000, source: str = "") -> str:
    """Who answers, when a process of this uid and gid connects."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        with socket.socket() as connection:
            connection.settimeout(5)
            if source:
                connection.bind((source, 0))
            connection.connect((address, port))
            return connection.recv(99).decode()
    except OSError as error:
        return type(error).__name__
    finally:
        os.seteuid(0)
        os.setegid(0)


def ask_udp(address: str, port: int) -> str:
    with socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(b"?", (address, port))
        return asking.recv(99).decode()


def run(argv: list[str]) -> list[Any]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return [done.returncode, done.stdout, done.stderr]


VERBS: dict[str, Callable[..., Any]] = {"listen": listen, "connect": connect, "ask_udp": ask_udp, "run": run}

if __name__ == "__main__":
    for line in sys.stdin:
        verb, positional, named = json.loads(line)
        print(json.dumps(VERBS[verb](*positional, **named)), flush=True)
