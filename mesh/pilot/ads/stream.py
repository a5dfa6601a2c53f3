"""One gRPC call of a proxy, from its first request to its end: requests in, responses out, and who it is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog

from mesh.model import Proxy
from mesh.pilot.ads import wire
from mesh.pilot.ads.door import Door, Guest, Unknown
from mesh.pilot.ads.session import Session, describe
from mesh.pilot.ads.sessions import Sessions

LAST_WRITE = 1.0  # seconds that a client may take to read what is under way when its call is ended

log = structlog.get_logger(component="ads")


class Stream:
    """A call. `door` is None where callers are not authenticated."""

    def __init__(self, sessions: Sessions, door: Door | None, context: Any, *, sotw: bool) -> None:
        self._sessions = sessions
        self._door = door
        self._context = context
        self._sotw = sotw
        self._guest: Guest | None = None
        self._session: Session | None = None
        self._writing: asyncio.Task[None] | None = None
        self._sending: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Stream of {self._session or self._guest or self._context.peer()}>"

    def describe(self) -> dict[str, Any]:
        """For logs."""
        return describe(self._session) if self._session else {"peer": self._context.peer()}

    def confirm(self) -> None:
        """End the call if its caller is to be let in no longer."""
        if self._guest is None or self._over.done():
            return
        try:
            self._guest.confirm()
        except Unknown as error:
            self._over.set_exception(error)

    async def run(self, requests: AsyncIterator[bytes]) -> None:
        """Serve until the client goes. Raises `BadMessage`, `Unknown` or `Forbidden`."""
        self._guest = self._door.enter(self._context) if self._door else None
        reading = asyncio.create_task(self._read(requests))
        try:
            await asyncio.wait({reading, self._over}, return_when=asyncio.FIRST_COMPLETED)
            if self._over.done():
                self._over.result()
            await reading
        finally:
            await self._end(reading)

    async def _end(self, reading: asyncio.Task[None]) -> None:
        if self._session is not None:
            self._sessions.close(self._session)
        tasks: set[asyncio.Future[None]] = {task for task in (reading, self._writing) if task is not None}
        for each in (*tasks, self._over):
            each.cancel()
        await asyncio.wait(tasks)
        if self._sending is not None:
            # gRPC cannot end a call while a message is under way.
            await asyncio.wait({self._sending}, timeout=LAST_WRITE)
            self._sending.cancel()
            tasks.add(self._sending)
        for done in (*tasks, self._over):
            if done.done() and not done.cancelled():
                done.exception()  # raised above, or something else ended the call before

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for raw in requests:
            if self._guest is not None:
                self._guest.confirm()
            request, proxy = wire.parse(raw, sotw=self._sotw)
            if self._session is None:
                self._session = self._open(proxy)
                self._writing = asyncio.create_task(self._write(self._session))
            self._session.receive(request)

    def _open(self, proxy: Proxy | None) -> Session:
        if proxy is None:
            raise wire.BadMessage("the first request of a stream must name its node")
        if self._guest is not None:
            self._guest.admit(proxy)
        session = self._sessions.open(proxy, sotw=self._sotw, peer=self._context.peer())
        if self._guest is not None:
            session.identity = str(self._guest.identity)
        log.info("connected", **describe(session))
        return session

    async def _write(self, session: Session) -> None:
        """Send what the session has to say, as fast as the client reads."""
        while True:
            response = await session.outbox.get()
            self._sending = asyncio.ensure_future(self._context.write(wire.encode(response, sotw=self._sotw)))
            await asyncio.shield(self._sending)
