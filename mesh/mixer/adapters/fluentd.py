"""`fluentd`: log entries, forwarded to a fluentd or Fluent Bit.

Each batch asks to be acknowledged, so nothing is counted as sent that was not taken. While the back end is
away the queue fills; what comes then is lost and counted.
Source: Istio 1.6's reference of the adapter; Fluentd's Forward Protocol Specification v1 (forward mode).
"""

import asyncio
import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, ClassVar

from pydantic import Field

from mesh.api.base import Model, PositiveDuration
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.batches import UNCERTAIN, Batches, Limits, Lost, Unsent, export_metrics
from mesh.mixer.adapters.values import plain
from mesh.rules.adapter import Adapter, Environment, Instance

Entry = tuple[str, datetime, dict[str, Any]]


class FluentdParams(Model):
    """Where entries go and how they wait. `integerDuration` writes durations as whole milliseconds."""

    address: str = "localhost:24224"
    integer_duration: bool = False
    instance_buffer_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    max_batch_size_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    push_interval_duration: PositiveDuration = 1.0
    push_timeout_duration: PositiveDuration = 60.0
    max_batch_size: Annotated[int, Field(ge=1, le=10_000)] = 500

    @check
    def _address(self) -> Iterator[Fault]:
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            yield Fault(
                "address", f"is {self.address!r}, not HOST:PORT", "write it like fluentd.logging:24224"
            )


class Fluentd(Adapter[FluentdParams]):
    """Sends batches over one connection after the other."""

    name: ClassVar[str] = "fluentd"
    templates: ClassVar[frozenset[str]] = frozenset({"logentry"})
    Params = FluentdParams

    def __init__(self, params: FluentdParams, environment: Environment) -> None:
        super().__init__(params, environment)
        limits = Limits(
            params.instance_buffer_size, params.max_batch_size, params.push_interval_duration, closing=2.0
        )
        self._batches: Batches[Entry] = Batches(
            environment.handler, self._send, export_metrics(environment.metrics), limits
        )

    async def start(self) -> None:
        """Begin to send; a back end that is away is no reason not to."""
        self.environment.background(self._batches.run(), "forwarding")

    async def close(self) -> None:
        """Send what waits, within reason."""
        await self._batches.close()

    def report(self, instances: Sequence[Instance]) -> None:
        """Queue the entries."""
        self._batches.put(map(self._entry, instances))

    def _entry(self, each: Instance) -> Entry:
        when = each.values.get("timestamp") or datetime.fromtimestamp(self.environment.clock(), UTC)
        record = {name: self._value(value) for name, value in (each.values.get("variables") or {}).items()}
        return each.name, when, {"severity": each.values.get("severity", ""), **record}

    def _value(self, value: Any) -> Any:
        if isinstance(value, timedelta) and self.params.integer_duration:
            return int(value.total_seconds() * 1000)
        return plain(value)

    async def _send(self, entries: Sequence[Entry]) -> None:
        host, _, port = self.params.address.rpartition(":")
        seconds = self.params.push_timeout_duration
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(host, int(port))
        except (OSError, TimeoutError) as error:
            raise Unsent(f"{self.params.address} cannot be reached: {error or 'no answer'}") from None
        left = len(entries)
        try:
            async with asyncio.timeout(seconds):
                for tag, content in messages(entries, self.params.max_batch_size_bytes):
                    await _forward(reader, writer, tag, content)
                    left -= len(content)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            words = str(error) or type(error).__name__
            raise Lost(f"{self.params.address} did not acknowledge: {words}", UNCERTAIN, left) from None
        finally:
            writer.close()


def messages(entries: Iterable[Entry], most: int) -> Iterator[tuple[str, list[bytes]]]:
    """Tag and packed entries of each message: of one tag, and at most so many bytes, if there are several."""
    import msgpack  # type: ignore[import-untyped]

    for tag, group in groupby(entries, key=lambda each: each[0]):
        content: list[bytes] = []
        size = 0
        for _, when, record in group:
            packed = msgpack.packb([_event_time(when, msgpack), record])
            if content and size + len(packed) > most:
                yield tag, content
                content, size = [], 0
            content.append(packed)
            size += len(packed)
        yield tag, content


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tag: str, content: Sequence[bytes]
) -> None:
    """Send one message and wait until it is acknowledged."""
    import msgpack

    chunk, packer = base64.b64encode(os.urandom(12)).decode(), msgpack.Packer()
    head = [packer.pack_array_header(3), packer.pack(tag), packer.pack_array_header(len(content))]
    writer.write(b"".join([*head, *content, packer.pack({"chunk": chunk})]))
    await writer.drain()
    await _acknowledged(reader, msgpack.Unpacker(), chunk)


async def _acknowledged(reader: asyncio.StreamReader, unpacker: Any, chunk: str) -> None:
    while True:
        for answer in unpacker:
            if isinstance(answer, dict) and answer.get("ack") == chunk:
                return
        data = await reader.read(4096)
        if not data:
            raise ConnectionError("the connection was closed")
        unpacker.feed(data)


def _event_time(when: datetime, msgpack: Any) -> Any:
    """Extension type 0: seconds and nanoseconds, of which the protocol has those from 1970 to 2106."""
    seconds = min(max(int(when.timestamp()), 0), 2**32 - 1)
    return msgpack.ExtType(0, seconds.to_bytes(4, "big") + (when.microsecond * 1000).to_bytes(4, "big"))
