"""The gRPC shell of SDS on the Pod's Unix socket. Decides nothing; `conversation` does.

Only the proxy's own user may open the socket: what comes over it is the Pod's private key.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError

from mesh.agent.identity import wire
from mesh.agent.identity.conversation import Answer, Asked, Conversation
from mesh.agent.identity.errors import IdentityProblem
from mesh.agent.identity.shelf import Shelf
from mesh.agent.log import say

SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"
LONGEST_PATH = 107  # bytes of a Unix socket's path on Linux

Outbox = asyncio.Queue[Answer]
Writer = Callable[[Answer], bytes]


class SecretServer:
    """Serves the shelf's secrets, delta and state-of-the-world, and knows what Envoy has accepted."""

    def __init__(self, shelf: Shelf, socket: Path) -> None:
        self._shelf = shelf
        self._socket = socket
        self._open: dict[Conversation, Outbox] = {}
        self._news = asyncio.Event()
        self._server: Any = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self._handlers(),))
        shelf.subscribe(self._changed)

    def __repr__(self) -> str:
        return f"<SecretServer on {self._socket} with {len(self._open)} streams>"

    async def start(self) -> None:
        """Listen; `IdentityProblem` if the socket cannot be had. One left by an earlier run is replaced."""
        path = str(self._socket)
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise IdentityProblem(f"WORKLOAD_SOCKET {path}: a socket's path has at most {LONGEST_PATH} bytes")
        before = os.umask(0o177)
        try:
            self._socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._socket.unlink(missing_ok=True)
            self._server.add_insecure_port(f"unix:{path}")
            await self._server.start()
        except (OSError, RuntimeError) as error:
            raise IdentityProblem(
                f"WORKLOAD_SOCKET {path} cannot be used: {error}; the Pod needs a writable volume there"
            ) from None
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """End all streams and take the socket away."""
        await self._server.stop(0)
        with suppress(OSError):
            self._socket.unlink(missing_ok=True)

    async def accepted(self, name: str) -> str | None:
        """Wait until Envoy has answered the present version on every stream; its reason if it refused."""
        while True:
            stored = self._shelf.get(name)
            asking = [each for each in self._open if name in each.names]
            if stored is None or all(each.settled(name, stored.version) for each in asking):
                return next((each.refused[name] for each in asking if name in each.refused), None)
            await self._news.wait()

    def _changed(self, _: str) -> None:
        for conversation, outbox in self._open.items():
            if answer := conversation.due():
                outbox.put_nowait(answer)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _handlers(self) -> Any:
        methods = {
            "StreamSecrets": grpc.stream_stream_rpc_method_handler(self._sotw),
            "DeltaSecrets": grpc.stream_stream_rpc_method_handler(self._delta),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _sotw(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await self._stream(requests, context, wire.read_sotw, wire.write_sotw)

    async def _delta(self, requests: AsyncIterator[bytes], context: Any) -> None:
        await self._stream(requests, context, wire.read_delta, wire.write_delta)

    async def _stream(
        self, requests: AsyncIterator[bytes], context: Any, read: Callable[[bytes], Asked], write: Writer
    ) -> None:
        conversation = Conversation(self._shelf, sotw=read is wire.read_sotw)
        outbox = self._open[conversation] = asyncio.Queue()
        writer = asyncio.create_task(_write(outbox, context, write))
        try:
            async for raw in requests:
                asked = read(raw)
                if asked.error is not None:
                    say(f"Envoy refuses a secret of {', '.join(sorted(conversation.names))}: {asked.error}")
                if answer := conversation.receive(asked):
                    outbox.put_nowait(answer)
                self._tell()
        except DecodeError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a discovery request: {error}")
        finally:
            writer.cancel()
            del self._open[conversation]
            self._tell()


async def _write(outbox: Outbox, context: Any, write: Writer) -> None:
    while True:
        await context.write(write(await outbox.get()))
