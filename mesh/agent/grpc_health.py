"""gRPC's health check (`grpc.health.v1`) as a probe asks it. Apart, because most Pods never need it.

gRPC cannot choose the address that it connects from, which is what interception goes by. It therefore speaks
over an abstract Unix socket to a bridge, and that makes the connection.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from mesh.agent.http import CHUNK, Place

CHECK = "/grpc.health.v1.Health/Check"
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "localhost"))
_numbers = count(1)


async def check(place: Place, service: str) -> str:
    """Why the service is not serving, or nothing. `OSError` if nobody is there; takes its time otherwise."""
    asked = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    local = (place.source, 0) if place.source else None
    reader, writer = await asyncio.open_connection(place.host, place.port, local_addr=local)
    async with bridge(reader, writer) as name, grpc.aio.insecure_channel(name, options=OPTIONS) as channel:
        try:
            raw = await channel.unary_unary(CHECK)(asked)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    status = health_pb2.HealthCheckResponse.FromString(raw).status
    serving = health_pb2.HealthCheckResponse.SERVING
    return "" if status == serving else str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


@asynccontextmanager
async def bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[str]:
    """Where gRPC finds this connection."""
    name = f"pilot-agent-{os.getpid()}-{next(_numbers)}"
    tasks: set[asyncio.Task[None]] = set()
    writers = [writer]

    async def accept(its_reader: asyncio.StreamReader, its_writer: asyncio.StreamWriter) -> None:
        writers.append(its_writer)
        for one, other in ((reader, its_writer), (its_reader, writer)):
            tasks.add(asyncio.create_task(_pass(one, other)))

    server = await asyncio.start_unix_server(accept, f"\0{name}")
    try:
        yield f"unix-abstract:{name}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in writers:
            each.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
