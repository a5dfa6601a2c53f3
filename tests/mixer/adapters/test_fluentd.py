"""O2, O4: what adapter fluentd forwards, and what becomes of it when the other side is slow, rude or gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from prometheus_client import CollectorRegistry

from mesh.api.checks import faults
from mesh.mixer.adapters.fluentd import Fluentd, FluentdParams
from mesh.rules.adapter import Instance
from tests.live import until
from tests.loops import run
from tests.mixer.adapters.rig import HANDLER, started
from tests.mixer.tracing.rig import counted
from weather.services.logbook import acknowledgement, entries

pytestmark = pytest.mark.behaviour("O2", "O4")

NOON = datetime(2026, 1, 2, 12, 0, 0, 250_000, tzinfo=UTC)


class Book:
    """A receiver of Fluentd's forward protocol on loopback; after `polite` messages it hangs up."""

    def __init__(self, polite: int = 1_000_000) -> None:
        self.messages: list[list[dict[str, Any]]] = []
        self.polite = polite
        self.silent = False
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Book"]:
        server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = msgpack.Unpacker()
        try:
            while data := await reader.read(65536):
                unpacker.feed(data)
                for message in unpacker:
                    if not self.polite:
                        return
                    self.polite -= 1
                    self.messages.append(list(entries(message)))
                    if not self.silent:
                        writer.write(acknowledgement(message))
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [each["record"] for message in self.messages for each in message]


def entry(number: int, tag: str = "seen.instance.weather", **more: Any) -> Instance:
    values = {"timestamp": NOON, "severity": "info", "variables": {"number": number, **more}}
    return Instance(tag, "logentry", values)


@asynccontextmanager
async def forwarding(port: int, registry: CollectorRegistry, **params: Any) -> AsyncIterator[Fluentd]:
    given = {"address": f"127.0.0.1:{port}", "pushIntervalDuration": "10ms", **params}
    async with started(Fluentd, NOON.timestamp, registry, **given) as adapter:
        yield adapter


def sent(registry: CollectorRegistry) -> float:
    return counted(registry, "mixer_export_sent_total", handler=HANDLER)


def lost(registry: CollectorRegistry, reason: str) -> float:
    return counted(registry, "mixer_export_lost_total", handler=HANDLER, reason=reason)


def test_each_entry_arrives_once_with_its_tag_time_and_fields() -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        async with Book().open() as book, forwarding(book.port, registry) as adapter:
            adapter.report([entry(1, took=timedelta(milliseconds=5)), entry(2, "other.instance.weather")])
            await until(lambda: sent(registry) == 2, "both are acknowledged")
            (first, second) = [each for message in book.messages for each in message]
            assert first["tag"] == "seen.instance.weather"
            assert first["time"] == pytest.approx(NOON.timestamp(), abs=1e-6)
            assert first["record"] == {"severity": "info", "number": 1, "took": "5ms"}
            assert second["tag"] == "other.instance.weather"

    run(work())


def test_times_that_the_protocol_does_not_have_stop_nothing() -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        async with Book().open() as book, forwarding(book.port, registry) as adapter:
            for year in (1, 1969, 2200, 9999):
                when = datetime(year, 6, 1, tzinfo=UTC)
                values = {"timestamp": when, "severity": "info", "variables": {"year": year}}
                adapter.report([Instance("seen.instance.weather", "logentry", values)])
            adapter.report([entry(1)])
            await until(lambda: sent(registry) == 5, "all are acknowledged")
            times = [each["time"] for message in book.messages for each in message]
            assert times == pytest.approx([0, 0, 2**32 - 1, 2**32 - 1, NOON.timestamp()], abs=1)

    run(work())


def test_durations_as_whole_milliseconds() -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        async with Book().open() as book, forwarding(book.port, registry, integerDuration=True) as adapter:
            adapter.report([entry(1, took=timedelta(seconds=1.5))])
            await until(lambda: sent(registry) == 1, "it is acknowledged")
            assert book.records[0]["took"] == 1500

    run(work())


def test_messages_are_as_large_as_they_may_be() -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        async with Book().open() as book, forwarding(book.port, registry, maxBatchSizeBytes=2500) as adapter:
            adapter.report([entry(each, text="x" * 1000) for each in range(6)])
            await until(lambda: sent(registry) == 6, "all are acknowledged")
            assert [len(message) for message in book.messages] == [2, 2, 2]
            assert [each["number"] for each in book.records] == list(range(6))

    run(work())


def test_what_was_not_acknowledged_is_lost_and_no_more() -> None:
    """The receiver takes one message of three and hangs up: two are uncertain, and are not sent again."""

    async def work() -> None:
        registry = CollectorRegistry()
        async with Book(polite=1).open() as book, forwarding(book.port, registry) as adapter:
            adapter.report([entry(each, f"t{each}.instance.weather") for each in range(3)])
            await until(lambda: lost(registry, "uncertain") == 2, "two are given up")
            assert sent(registry) == 1
            book.polite = 10
            adapter.report([entry(3)])
            await until(lambda: sent(registry) == 2, "it goes on")
            assert [each["number"] for each in book.records] == [0, 3]

    run(work())


def test_one_that_never_acknowledges_is_not_waited_for() -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        book = Book()
        book.silent = True
        async with book.open(), forwarding(book.port, registry, pushTimeoutDuration="50ms") as adapter:
            adapter.report([entry(1)])
            await until(lambda: lost(registry, "uncertain") == 1, "it is given up")

    run(work())


def test_while_it_is_away_entries_wait_and_what_is_too_much_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        book = Book()
        async with book.open():
            pass  # the port is known, and nobody listens there now
        async with forwarding(book.port, registry, instanceBufferSize=10) as adapter:
            for number in range(25):
                adapter.report([entry(number)])
            assert lost(registry, "queue full") == 15
            async with book.open():
                await until(lambda: sent(registry) == 10, "what waited has arrived")
            assert [each["number"] for each in book.records] == list(range(10))

    run(work())
    assert capsys.readouterr().out.count("a back end takes nothing") == 1, "told once"


def test_what_it_cannot_hand_on_at_its_end_is_counted() -> None:
    async def work() -> CollectorRegistry:
        registry = CollectorRegistry()
        book = Book()
        async with book.open():
            pass
        async with forwarding(book.port, registry) as adapter:
            adapter.report([entry(1), entry(2)])
        return registry

    assert lost(run(work()), "closed") == 2


@pytest.mark.parametrize("address", ["fluentd", ":24224", "fluentd:0", "fluentd:port"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    (fault,) = faults(FluentdParams.model_validate({"address": address}), "spec.params")
    assert (fault.path, fault.message) == ("spec.params.address", f"is {address!r}, not HOST:PORT")
