"""Configuration from a Galley in another process, over the Mesh Configuration Protocol.

A `ConfigSource` and a `StatusSink`. A stream that breaks is made again, and only what changed meanwhile is
sent; as long as there is none, what was known stays in force.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog

from mesh.api.kinds import WATCHED, Kind
from mesh.galley import wire
from mesh.galley.board import Report
from mesh.galley.collections import by_collection, key_named, name_of
from mesh.galley.source.stored import StoredSource
from mesh.model import ObjectKey
from mesh.pki.holder import Holder
from mesh.pki.keypair import KeyPair
from mesh.pki.trust import Trust

BACKOFF = (0.1, 10.0)  # seconds: first and longest pause after a failure
BATCH = 500  # reports in one message
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)

log = structlog.get_logger(component="config")


class ConfigClient(StoredSource):
    """Reads from Galley at `host:port`, showing the holder's certificate and trusting the mesh's roots.

    `server_name` replaces the host's name in the check of the server's certificate.
    """

    def __init__(
        self,
        address: str,
        identity: Holder,
        trust: Trust,
        *,
        kinds: Iterable[Kind] = WATCHED,
        server_name: str = "",
    ) -> None:
        super().__init__()
        self._address = address
        self._identity = identity
        self._trust = trust
        self._kinds = by_collection(kinds)
        self._options = (
            *OPTIONS,
            *((("grpc.ssl_target_name_override", server_name),) if server_name else ()),
        )
        self._waiting = set(self._kinds)
        self._reports: dict[ObjectKey, Report] = {}
        self._unsent: set[ObjectKey] = set()
        self._reported = asyncio.Event()
        self._renewed = asyncio.Event()
        self.streams = 0
        self.failures = 0

    def __repr__(self) -> str:
        return f"<ConfigClient of {self._address}, {self._store!r}, stream {self.streams}>"

    async def run(self) -> None:
        """Read, and send reports, until cancelled; failures are logged and tried again after a pause."""
        self._identity.subscribe(self._renew)
        try:
            while True:
                await self._identity.first()
                try:
                    await self._connected()
                except grpc.aio.AioRpcError as error:
                    await self._pause(f"{error.code().name}: {error.details()}")
        finally:
            self._identity.unsubscribe(self._renew)

    def report(
        self, key: ObjectKey, resource_version: str, *, proxies: int, acked: int, errors: tuple[str, ...]
    ) -> None:
        """Send on what a Pilot reports; what cannot be sent now goes when there is a stream again."""
        self._reports[key] = Report(resource_version, proxies, acked, errors)
        self._unsent.add(key)
        self._reported.set()

    def _renew(self, _: KeyPair) -> None:
        self._renewed.set()

    async def _pause(self, error: str) -> None:
        self.failures += 1
        pause = min(BACKOFF[0] * 2 ** min(self.failures, 10), BACKOFF[1]) * random.uniform(0.5, 1.0)
        log.warning("cannot read configuration", galley=self._address, error=error, again_in=round(pause, 2))
        await asyncio.sleep(pause)

    async def _connected(self) -> None:
        """One connection: ends with an `AioRpcError`, or when there is a new certificate to show."""
        self._renewed.clear()
        pair = self._identity.pair
        credentials = grpc.ssl_channel_credentials(self._trust.roots(), pair.key, pair.chain)
        async with grpc.aio.secure_channel(self._address, credentials, options=self._options) as channel:
            work = [asyncio.ensure_future(each) for each in (self._read(channel), self._send(channel))]
            work.append(asyncio.ensure_future(_set(self._renewed)))
            try:
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
            finally:
                for each in work:
                    each.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    async def _read(self, channel: Any) -> None:
        call = channel.stream_stream(wire.SOURCE)()
        self.streams += 1
        for request in self._first_requests():
            await _write(call, request)
        async for raw in _messages(call):
            answer = wire.Resources.FromString(raw)
            self.failures = 0
            request = wire.RequestResources(
                collection=answer.collection, response_nonce=answer.nonce, incremental=True
            )
            problem = self._take(answer)
            if problem:
                request.error_detail.code, request.error_detail.message = 3, problem
            await _write(call, request)

    def _first_requests(self) -> Iterable[Any]:
        for collection, kind in self._kinds.items():
            versions = {
                name_of(key): self.seen(key) or "" for key in self._store.present() if key.kind == kind.kind
            }
            yield wire.RequestResources(
                sink_node={"id": str(self._identity.identity)}, collection=collection,
                initial_resource_versions=versions, incremental=True,
            )  # fmt: skip

    def _take(self, answer: Any) -> str:
        """Take an answer into the store; what of it cannot be used, as text for Galley."""
        kind = self._kinds[answer.collection].kind
        objects, problems = [], []
        for resource in answer.resources:
            try:
                objects.append(json.loads(wire.text_of(resource)))
            except ValueError as error:
                problems.append(str(error))
        keys = [key_named(kind, resource.metadata.name) for resource in answer.resources]
        gone = [key_named(kind, name) for name in answer.removed_resources]
        for key in gone:
            self._reports.pop(key, None)
        self._store.update(objects, gone)
        problems += [str(reason) for key in keys if (reason := self.rejected(key))]
        if answer.system_version_info:
            self._waiting.discard(answer.collection)
        if not self._waiting:
            self.synced.set()
        return "\n".join(problems)

    async def _send(self, channel: Any) -> None:
        self._unsent = set(self._reports)
        if not self._unsent:
            await self._reported.wait()
        call = channel.stream_stream(wire.REPORTS)()
        failing = asyncio.ensure_future(_drained(call))
        try:
            while not failing.done():
                await self._send_unsent(call)
                self._reported.clear()
                waiting = asyncio.ensure_future(self._reported.wait())
                await asyncio.wait({waiting, failing}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            failing.result()
        finally:
            failing.cancel()
            await asyncio.gather(failing, return_exceptions=True)

    async def _send_unsent(self, call: Any) -> None:
        while self._unsent:
            keys = [self._unsent.pop() for _ in range(min(BATCH, len(self._unsent)))]
            reports = [(key, self._reports.get(key)) for key in keys]
            message = wire.Reports(
                reports=[
                    wire.Report(
                        kind=key.kind, namespace=key.namespace, name=key.name, version=report.version,
                        proxies=report.proxies, acked=report.acked, errors=report.errors,
                    )
                    for key, report in reports
                    if report is not None
                ]
            )  # fmt: skip
            await _write(call, message)


async def _messages(call: Any) -> AsyncIterator[bytes]:
    """The messages of a call; `AioRpcError` at its end, whatever it was."""
    while (raw := await call.read()) is not grpc.aio.EOF:
        yield raw
    await _raise(call)


async def _write(call: Any, message: Any) -> None:
    """Send a message; `AioRpcError` if the call has ended."""
    try:
        await call.write(message.SerializeToString())
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        await _raise(call)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _drained(call: Any) -> None:
    async for _ in _messages(call):
        continue


async def _raise(call: Any) -> None:
    code = await call.code()
    metadata = await call.initial_metadata(), await call.trailing_metadata()
    raise grpc.aio.AioRpcError(code, *metadata, details=await call.details() or "the stream has ended")
