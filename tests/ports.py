"""Ports for servers that are told theirs, chosen so that nobody else takes them before the server does."""

import atexit
import errno
import random
import socket

FIRST, LAST = 10_000, 32_000
"""Below the ports that Linux gives away by itself (`ip_local_port_range`, 32768 and more)."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no other test of any process is given.

    It is held by a UDP socket on the same number until this process ends.
    """
    chance = random.SystemRandom()  # processes seldom try the same
    for _ in range(10_000):
        number = chance.randint(FIRST, LAST)
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", number))
            with socket.socket() as server:
                server.bind(("0.0.0.0", number))
        except OSError as error:
            held.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            atexit.register(held.close)
            return number
    raise RuntimeError(f"no port from {FIRST} to {LAST} is free")
