"""The configuration server: the Mesh Configuration Protocol over gRPC with mutual TLS. The shell only.

Who may call is decided by `callers`, what is said by `conversation`. A caller whose certificate is revoked or
has expired loses its stream.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import structlog
from cryptography import x509

from mesh.galley import wire
from mesh.galley.board import Board, Report
from mesh.galley.callers import READERS, REPORTERS, Callers, Refused
from mesh.galley.conversation import BadRequest, Conversation
from mesh.galley.feed import Feed
from mesh.galley.metrics import Metrics
from mesh.model import ObjectKey
from mesh.model.trust import TrustBundle
from mesh.pki.holder import Holder
from mesh.pki.peers import PeerCheck
from mesh.pki.serving import grpc_credentials
from mesh.pki.spiffe import Identity
from mesh.pki.trust import Trust
from mesh.ports import grpc_port

OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared in silence
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)
LOOK = 10.0  # seconds at most between looks at a caller's certificate
GRACE = 0.5  # seconds that streams have to end

log = structlog.get_logger(component="galley")


class Ended(Exception):
    """The stream ends here, by our wish; the text is the reason."""


class ConfigServer:
    """Hands on `feed`, and takes reports for `board`."""

    def __init__(self, feed: Feed, board: Board, callers: Callers, metrics: Metrics) -> None:
        self._feed = feed
        self._board = board
        self._callers = callers
        self._metrics = metrics
        self._reporters = count(1)
        self._wakes: set[asyncio.Event] = set()

    def handlers(self) -> Sequence[Any]:
        """For a gRPC server."""
        return [
            grpc.method_handlers_generic_handler(
                service, {method: grpc.stream_stream_rpc_method_handler(call)}
            )
            for (_, service, method), call in (
                (wire.SOURCE.split("/"), self.resources),
                (wire.REPORTS.split("/"), self.reports),
            )
        ]

    def look(self, _: TrustBundle) -> None:
        """Trust has changed: every stream looks at its caller again."""
        for wake in self._wakes:
            wake.set()

    async def resources(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """`EstablishResourceStream`."""
        identity, chain = await self._admitted(context, READERS)
        talk, wake = Conversation(self._feed), asyncio.Event()

        def changed(collection: str, name: str) -> None:
            if talk.changed(collection, name):
                wake.set()

        self._feed.subscribe(changed)
        self._metrics.clients.inc()
        try:
            await self._until_end(context, chain, wake, self._hear(requests, talk, identity, wake), talk)
        finally:
            self._metrics.clients.dec()
            self._feed.unsubscribe(changed)

    async def reports(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """`EstablishReportStream`: what a Pilot reports holds for as long as its stream lasts."""
        identity, chain = await self._admitted(context, REPORTERS)
        reporter, wake = f"{identity.account}-{next(self._reporters)}", asyncio.Event()
        try:
            await self._until_end(context, chain, wake, self._note(requests, reporter))
        finally:
            self._board.leave(reporter)

    async def _admitted(
        self, context: Any, accounts: Sequence[str]
    ) -> tuple[Identity, list[x509.Certificate]]:
        try:
            return self._callers.identity(context, accounts)
        except Refused as error:
            self._metrics.refused.inc()
            log.warning("refused", peer=context.peer(), error=str(error))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            raise AssertionError("abort raises") from None

    async def _until_end(
        self,
        context: Any,
        chain: Sequence[x509.Certificate],
        wake: asyncio.Event,
        reading: Any,
        talk: Conversation | None = None,
    ) -> None:
        """Read in one task and write in this one, until the caller ends or has to."""
        reader = asyncio.ensure_future(reading)
        reader.add_done_callback(lambda _: wake.set())
        self._wakes.add(wake)
        try:
            while True:
                problem = self._callers.problem(chain)
                if problem:
                    raise Ended(problem)
                for answer in talk.answers() if talk else ():
                    self._metrics.sent.labels(answer.collection).inc(
                        len(answer.resources) + len(answer.removed_resources)
                    )
                    await context.write(answer.SerializeToString())
                if reader.done():
                    reader.result()
                    return
                await _woken(wake)
        except (Ended, BadRequest) as error:
            log.warning("a stream is ended", peer=context.peer(), reason=str(error))
            refused = isinstance(error, Ended)
            code = grpc.StatusCode.UNAUTHENTICATED if refused else grpc.StatusCode.INVALID_ARGUMENT
            await context.abort(code, str(error))
        finally:
            self._wakes.discard(wake)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _hear(
        self, requests: AsyncIterator[bytes], talk: Conversation, identity: Identity, wake: asyncio.Event
    ) -> None:
        async for raw in requests:
            request = _read(wire.RequestResources, raw)
            said = talk.hear(request)
            if said.acked:
                self._metrics.acks.labels(request.collection).inc()
            elif said.refused:
                self._metrics.nacks.labels(request.collection).inc()
                log.warning("refused by a client", client=str(identity), collection=request.collection,
                            error=said.refused)  # fmt: skip
            wake.set()

    async def _note(self, requests: AsyncIterator[bytes], reporter: str) -> None:
        async for raw in requests:
            for each in _read(wire.Reports, raw).reports:
                report = Report(each.version, each.proxies, each.acked, tuple(each.errors))
                self._board.report(reporter, ObjectKey(each.kind, each.namespace, each.name), report)


async def _woken(wake: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK):
            await wake.wait()
    except TimeoutError:
        return
    wake.clear()


def _read(message: Any, raw: bytes) -> Any:
    try:
        return message.FromString(raw)
    except Exception as error:  # protobuf's DecodeError
        raise BadRequest(f"not a {message.DESCRIPTOR.name}: {error}") from None


@asynccontextmanager
async def config_server(
    server: ConfigServer, identity: Holder, trust: Trust, *, host: str, port: int
) -> AsyncIterator[int]:
    """Serve with mutual TLS; the port that was bound. Raises `CannotListen` (mesh.ports)."""
    grpc_server = grpc.aio.server(options=OPTIONS)
    grpc_server.add_generic_rpc_handlers(tuple(server.handlers()))
    credentials = grpc_credentials(identity, trust.roots, mutual=True)
    bound = grpc_port(grpc_server, f"{host}:{port}", credentials, what="configuration")
    trust.subscribe(server.look)
    await grpc_server.start()
    try:
        yield bound
    finally:
        trust.unsubscribe(server.look)
        await grpc_server.stop(GRACE)


def callers(trust: Trust, trust_domain: str, namespace: str) -> Callers:
    """Those who are known under the mesh's trust."""
    return Callers(PeerCheck(lambda: trust.bundle), trust_domain, namespace)
