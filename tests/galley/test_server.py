"""G2: configuration over gRPC with mutual TLS: handed on, resumed, refused, with reports back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest

from mesh.api.kinds import BY_KIND
from mesh.galley import wire
from mesh.galley.board import Board, Report
from mesh.galley.client import ConfigClient
from mesh.galley.feed import Feed
from mesh.galley.metrics import Metrics
from mesh.galley.server import ConfigServer, callers, config_server
from mesh.galley.store import ConfigStore
from mesh.model import ObjectKey
from mesh.pki.holder import Holder
from tests import loops
from tests.galley.rig import SYSTEM, Ca
from tests.galley.test_conversation import RULES, named
from tests.live import running, until

pytestmark = pytest.mark.behaviour("S3", "G2")
KINDS = [BY_KIND["DestinationRule"], BY_KIND["VirtualService"]]
KEY = ObjectKey("DestinationRule", "weather", "forecast")


@dataclass
class Hub:
    """A configuration server whose content a test changes."""

    ca: Ca
    store: ConfigStore
    board: Board
    metrics: Metrics
    identity: Holder
    port: int = 0
    given: dict[ObjectKey, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on a port, the same one again after the first time."""
        feed = Feed(KINDS)
        for key in self.store.present():
            feed.take(key, self.given[key])
        self.store.listen(feed.take)
        server = ConfigServer(feed, self.board, callers(self.ca.trust, "cluster.local", SYSTEM), self.metrics)
        async with config_server(
            server, self.identity, self.ca.trust, host="127.0.0.1", port=self.port
        ) as self.port:
            yield

    def put(self, obj: dict[str, Any]) -> None:
        """A new version of an object."""
        key = ObjectKey(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])
        self.given[key] = obj
        self.store.put(obj)

    def remove(self, key: ObjectKey) -> None:
        """The end of an object."""
        self.given.pop(key, None)
        self.store.remove(key)

    async def client(self, account: str = "istio-pilot", namespace: str = SYSTEM) -> ConfigClient:
        """A client with a certificate of that account."""
        holder = await self.ca.holder(account, namespace)
        return ConfigClient(
            f"127.0.0.1:{self.port}", holder, self.ca.trust, kinds=KINDS, server_name="localhost"
        )

    def sent(self) -> float:
        """How many resources were sent and removed so far."""
        return float(self.metrics.sent.labels(RULES)._value.get())


async def hub() -> Hub:
    ca = Ca()
    return Hub(ca, ConfigStore(), Board(), Metrics(), await ca.holder("istio-galley"))


def test_objects_come_change_and_go() -> None:
    async def test() -> None:
        it = await hub()
        it.put(named("forecast", "5"))
        async with it.serving():
            client = await it.client()
            async with running(client):
                assert client.objects()[KEY].spec.host == "forecast"
                assert client.seen(KEY) == "5"
                it.put(named("forecast", "6") | {"spec": {"host": "other"}})
                await until(lambda: client.objects()[KEY].spec.host == "other", "the change")
                it.remove(KEY)
                await until(lambda: KEY not in client.objects(), "the end")
                await until(lambda: it.metrics.acks.labels(RULES)._value.get() == 3, "the last ACK")

    loops.run(test())


def test_a_broken_stream_is_resumed_without_what_is_known() -> None:
    async def test() -> None:
        it = await hub()
        for number in range(50):
            it.put(named(f"r{number}", str(number + 1)))
        async with it.serving():
            client = await it.client()
            runs = running(client)
            await runs.__aenter__()
            assert (len(client.objects()), it.sent()) == (50, 50)
        it.put(named("r7", "100"))
        it.put(named("new", "101"))
        it.remove(ObjectKey("DestinationRule", "weather", "r9"))
        assert len(client.objects()) == 50  # what was known stays in force
        async with it.serving():
            await until(lambda: client.seen(ObjectKey("DestinationRule", "weather", "new")), "the new one")
            await until(lambda: client.seen(ObjectKey("DestinationRule", "weather", "r9")) is None, "the end")
            assert client.seen(ObjectKey("DestinationRule", "weather", "r7")) == "100"
            assert it.sent() == 53
            await runs.__aexit__(None, None, None)

    loops.run(test())


def test_what_a_client_cannot_use_is_refused_and_told() -> None:
    async def test() -> None:
        it = await hub()
        async with it.serving():
            client = await it.client()
            async with running(client):
                it.put(named("forecast", "1") | {"spec": {"host": "not a host"}})
                await until(lambda: client.rejected(KEY), "the refusal")
                await until(lambda: it.metrics.nacks.labels(RULES)._value.get() == 1, "the NACK")
                assert client.seen(KEY) == "1"

    loops.run(test())


def test_reports_hold_for_as_long_as_the_stream() -> None:
    async def test() -> None:
        it = await hub()
        it.put(named("forecast", "1"))
        async with it.serving():
            client = await it.client()
            async with running(client):
                client.report(KEY, "1", proxies=4, acked=3, errors=("one: no",))
                await until(lambda: it.board.sum(KEY), "the report")
                assert it.board.sum(KEY) == Report("1", 4, 3, ("one: no",))
                other = await it.client()
                async with running(other):
                    other.report(KEY, "1", proxies=2, acked=2, errors=())
                    await until(lambda: it.board.sum(KEY) == Report("1", 6, 5, ("one: no",)), "the sum")
                await until(lambda: it.board.sum(KEY) == Report("1", 4, 3, ("one: no",)), "the end of one")
            await until(lambda: it.board.sum(KEY) is None, "the end")

    loops.run(test())


@pytest.mark.parametrize(
    ("account", "namespace"), [("istio-citadel", SYSTEM), ("istio-pilot", "weather"), ("default", SYSTEM)]
)
def test_others_get_nothing(account: str, namespace: str) -> None:
    async def test() -> None:
        it = await hub()
        it.put(named("forecast", "1"))
        async with it.serving():
            error = await refusal(it, await it.ca.holder(account, namespace), it.ca.root)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "has no right to this" in error.details()
            assert it.metrics.refused._value.get() == 1
            assert it.sent() == 0

    loops.run(test())


def test_a_certificate_of_another_authority_gets_no_connection() -> None:
    async def test() -> None:
        it = await hub()
        async with it.serving():
            error = await refusal(it, await Ca().holder("istio-pilot"), it.ca.root)
            assert error.code() is grpc.StatusCode.UNAVAILABLE

    loops.run(test())


def test_a_mixer_may_read_but_not_report() -> None:
    async def test() -> None:
        it = await hub()
        async with it.serving():
            client = await it.client("istio-telemetry")
            async with running(client):
                assert client.synced.is_set()
            error = await refusal(it, await it.ca.holder("istio-telemetry"), it.ca.root, wire.REPORTS)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED

    loops.run(test())


def test_a_revoked_caller_loses_its_stream() -> None:
    async def test() -> None:
        it = await hub()
        async with it.serving():
            client = await it.client()
            async with running(client):
                serial = client._identity.pair.leaf.serial_number
                it.ca.revoke(serial)
                await until(lambda: client.failures, "the end of the stream")
                streams = client.streams
                await client._identity.renew("it was revoked")
                await until(lambda: client.streams > streams, "another stream")
                it.put(named("forecast", "1"))
                await until(lambda: KEY in client.objects(), "configuration again")

    loops.run(test())


def test_nonsense_ends_its_own_stream_only() -> None:
    async def test() -> None:
        it = await hub()
        async with it.serving():
            client = await it.client()
            async with running(client):
                for raw in (b"\xff\xff\xff", wire.RequestResources(collection="pods").SerializeToString()):
                    error = await refusal(it, await it.ca.holder("istio-pilot"), it.ca.root, send=raw)
                    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                it.put(named("forecast", "1"))
                await until(lambda: KEY in client.objects(), "configuration still")

    loops.run(test())


async def refusal(
    it: Hub, holder: Holder, root: bytes, method: str = wire.SOURCE, send: bytes = b""
) -> grpc.aio.AioRpcError:
    """What a call ends with that must fail."""
    credentials = grpc.ssl_channel_credentials(root, holder.pair.key, holder.pair.chain)
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{it.port}", credentials, options=options) as channel:
        call = channel.stream_stream(method)(timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(send)
            async for _ in call:
                pass
        error: grpc.aio.AioRpcError = caught.value
        return error
