"""Records per second that one istio-telemetry takes, over gRPC on loopback, with Istio's standard metrics.

The server is a process of its own; this one is the proxies: streams of Envoy's access log service, each of
one kind of call as Envoy has it, whose messages are made beforehand. A stream is answered when all that it
sent has been handed to the handlers, so the clock stops when nothing is left to do.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from benchmarks.check import served, world_of
from mesh.install.telemetry import telemetry_rules

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
MESSAGES, ENTRIES = 25, 40
"""Messages of a stream, entries of a message: about what Envoy's buffer of 16 KB holds."""

STREAMS = 8
TURNS = 3
FORECAST = "sidecar~10.0.0.1~forecast-v1.weather~weather.svc.cluster.local"
HTTP, TCP = "http", "tcp"


@dataclass(frozen=True, slots=True)
class Taken:
    """Records per second: the median of some turns."""

    what: str
    rate: float


def measure() -> list[Taken]:
    """Only requests, only connections, and half of both."""
    kinds = {"requests (HTTP)": (HTTP,), "connections (TCP)": (TCP,), "half of both": (HTTP, TCP)}
    found = []
    with served(telemetry_rules(), "benchmarks.reports") as port:
        for what, mixed in kinds.items():
            streams = [mixed[number % len(mixed)] for number in range(STREAMS)]
            rates = [asyncio.run(report(port, streams, turn)) for turn in range(TURNS + 1)]
            found.append(Taken(what, statistics.median(rates[1:])))  # the first one warms up
    return found


async def report(port: int, streams: Sequence[str], turn: int) -> float:
    """Send all streams at once, until each is answered; records per second."""
    made = [messages(kind, f"{turn}.{number}") for number, kind in enumerate(streams)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_unary(METHOD, response_deserializer=als_pb2.StreamAccessLogsResponse.FromString)
        begin = time.perf_counter()
        await asyncio.gather(*(call(sent(each)) for each in made))
        return len(streams) * MESSAGES * ENTRIES / (time.perf_counter() - begin)


async def sent(made: Sequence[bytes]) -> AsyncIterator[bytes]:
    """The messages of a stream; gRPC says when there is room for the next one."""
    for message in made:
        yield message


def messages(kind: str, stream: str) -> list[bytes]:
    """What a stream sends; the first message says who reports."""
    made = []
    for number in range(MESSAGES):
        message = als_pb2.StreamAccessLogsMessage()
        if not number:
            message.identifier.node.id, message.identifier.log_name = FORECAST, "inbound"
        for index in range(ENTRIES):
            if kind == HTTP:
                request(message.http_logs.log_entry.add(), number * ENTRIES + index)
            else:
                connection(message.tcp_logs.log_entry.add(), f"{stream}.{number}.{index}")
        made.append(bytes(message.SerializeToString()))
    return made


def request(entry: Any, number: int) -> None:
    """Frontend called forecast, as the sidecar of forecast reports it."""
    common(entry.common_properties)
    asked, answer = entry.request, entry.response
    asked.request_method, asked.scheme, asked.path = 1, "http", f"/weather?city={number}"
    asked.authority, asked.user_agent, asked.request_headers_bytes = "forecast:3002", "bench", 400
    asked.request_id = f"d5458445-af7e-96ba-8c8c-{number:012}"
    answer.response_code.value = 503 if number % 50 == 0 else 200
    answer.response_body_bytes, answer.response_headers_bytes = 600, 150
    answer.response_headers["content-type"] = "application/json"


def connection(entry: Any, name: str) -> None:
    """A connection that is over and was not reported before: its opening and its end are counted."""
    common(entry.common_properties)
    entry.common_properties.stream_id = name
    entry.common_properties.access_log_type = accesslog_pb2.TcpConnectionEnd
    entry.connection_properties.received_bytes, entry.connection_properties.sent_bytes = 100, 2000


def common(made: Any) -> None:
    """What both have."""
    made.downstream_direct_remote_address.socket_address.address = "10.0.0.2"
    made.downstream_remote_address.socket_address.address = "10.0.0.2"
    made.downstream_local_address.socket_address.address = "10.0.0.1"
    made.downstream_local_address.socket_address.port_value = 3002
    uri = made.tls_properties.peer_certificate_properties.subject_alt_name.add()
    uri.uri = "spiffe://cluster.local/ns/weather/sa/frontend"
    made.upstream_cluster = "inbound|3002||"
    made.start_time.GetCurrentTime()
    made.duration.nanos = 5_000_000


async def serve(folder: Path) -> None:
    """Run istio-telemetry; print its port."""
    from mesh.mixer.telemetry.serving import Settings, serving

    async with AsyncExitStack() as stack:
        world = world_of(folder, stack)
        settings = Settings("127.0.0.1", 0, 0, 0, 0, folder=folder)
        telemetry = await stack.enter_async_context(serving(world, settings))
        await telemetry.following.until(lambda live: bool(live.ruleset.rules))
        print(telemetry.grpc, flush=True)
        await telemetry.finished()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
