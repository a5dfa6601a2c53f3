"""How programs of the control plane serve; an address that cannot be had is told the same way everywhere."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

SHUTDOWN = 2.0  # seconds that requests under way have to end


class CannotListen(Exception):
    """An address to serve on cannot be had; the text says which, why, and what to do."""

    @classmethod
    def at(cls, address: str, what: str, error: Exception) -> "CannotListen":
        """For something (`xDS`, `HTTP`) that was to be served at `host:port`."""
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else str(error)
        return cls(f"cannot serve {what} on {address}: {reason}; free the port, or choose another")


@asynccontextmanager
async def bound(
    app: web.Application,
    host: str | None,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    what: str = "HTTP",
) -> AsyncIterator[int]:
    """Serve an application (host None: on all addresses); the port that was bound. Raises `CannotListen`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as error:
            raise CannotListen.at(f"{host or ''}:{port}", what, error) from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def grpc_port(server: Any, address: str, credentials: Any = None, *, what: str) -> int:
    """Bind a gRPC server (of `grpc.aio`) to `host:port` (0: any port), in clear text without credentials.

    Gives back the port; raises `CannotListen`.
    """
    try:
        if credentials is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise CannotListen.at(address, what, error) from None
