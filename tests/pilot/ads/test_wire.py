"""Bytes: what is put together from parts reads as the real messages; what makes no sense is said to."""

from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)
from hypothesis import given
from hypothesis import strategies as st

from mesh.model import Proxy
from mesh.pilot.ads import wire
from mesh.pilot.ads.messages import Response
from mesh.pilot.ads.server import SERVICE, AdsServer
from mesh.pilot.ads.sessions import Sessions
from mesh.pilot.metrics import Metrics
from mesh.pilot.types import CDS, Resource
from mesh.ports import CannotListen
from tests.pilot.ads.pilot import pilot
from tests.pilot.ads.world import StaticCompiler, World, world

pytestmark = pytest.mark.behaviour("X1")

RESOURCES = st.lists(
    st.builds(
        Resource,
        name=st.text(min_size=1, max_size=200),
        type_url=st.just(CDS),
        version=st.text(max_size=20),
        payload=st.binary(max_size=400),
        origins=st.just(()),
        waits_for=st.just(frozenset()),
    ),
    max_size=5,
).map(tuple)


@given(resources=RESOURCES, removed=st.lists(st.text(), max_size=3).map(tuple), nonce=st.text())
def test_delta_responses(resources: tuple[Resource, ...], removed: tuple[str, ...], nonce: str) -> None:
    response = Response(type_url=CDS, nonce=nonce, version=7, changed=resources, removed=removed)
    message = discovery_pb2.DeltaDiscoveryResponse.FromString(wire.encode_delta(response))
    assert (message.nonce, message.type_url, message.system_version_info) == (nonce, CDS, "7")
    assert tuple(message.removed_resources) == removed
    assert [(r.name, r.version, r.resource.type_url, r.resource.value) for r in message.resources] == [
        (r.name, r.version, r.type_url, r.payload) for r in resources
    ]


@given(resources=RESOURCES, nonce=st.text())
def test_sotw_responses(resources: tuple[Resource, ...], nonce: str) -> None:
    response = Response(type_url=CDS, nonce=nonce, version=7, full=resources)
    message = discovery_pb2.DiscoveryResponse.FromString(wire.encode_sotw(response))
    assert (message.nonce, message.type_url, message.version_info) == (nonce, CDS, "7")
    assert [(r.type_url, r.value) for r in message.resources] == [(r.type_url, r.payload) for r in resources]


def test_requests() -> None:
    message = discovery_pb2.DeltaDiscoveryRequest(
        type_url=CDS,
        response_nonce="3",
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "1"},
    )
    message.error_detail.message = "goo.gle/debugonly  \nbad cluster\n"
    message.node.id = "sidecar~10.0.0.1~frontend-1.weather~weather.svc.cluster.local"
    message.node.metadata.update({"LABELS": {"app": "frontend"}})
    message.node.locality.region = "pocket"
    message.node.locality.zone = "pocket-a"
    request, proxy = wire.parse_delta(message.SerializeToString())
    assert (request.nonce, request.error, request.subscribe) == ("3", "bad cluster", ("a",))
    assert (request.unsubscribe, request.initial_versions) == (("b",), {"c": "1"})
    assert proxy is not None
    assert (proxy.id, str(proxy.locality)) == ("frontend-1.weather", "pocket/pocket-a")
    assert proxy.labels == {"app": "frontend"}


BAD = {
    "expected kind~address~name.namespace~domain": {"node": {"id": "x"}, "type_url": CDS},
    "the first request of a stream must name its node": {"type_url": CDS},
    "without type_url": {"node": {"id": "sidecar~1~a.b~c"}},
}


@pytest.mark.parametrize(("reason", "fields"), BAD.items())
async def test_a_stream_that_begins_badly_is_told_why(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_answer(discovery_pb2.DeltaDiscoveryRequest(**fields).SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in caught.value.details()


async def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_answer(b"\xff\xff\xff")
    assert "not a DeltaDiscoveryRequest" in caught.value.details()


async def test_a_fault_in_compiling_ends_the_stream_and_is_counted() -> None:
    class Faulty(StaticCompiler):
        def all(self, snapshot: World, proxy: Proxy, type_url: str) -> dict[str, Resource]:
            raise ZeroDivisionError("too small")

    async with pilot(world()) as p, grpc.aio.insecure_channel(f"127.0.0.1:{p.port}") as channel:
        p.sessions.compiler = Faulty()
        call = channel.stream_stream(f"/{SERVICE}/DeltaAggregatedResources")()
        node = base_pb2.Node(id="sidecar~1~a.b~c")
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=CDS, node=node)
        await call.write(request.SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == "a fault of Pilot: ZeroDivisionError: too small"
        assert b"pilot_total_xds_internal_errors_total 1.0" in p.sessions.metrics.exposition()
        assert len(p.sessions) == 0


async def first_answer(raw: bytes) -> object:
    async with pilot(world()) as p, grpc.aio.insecure_channel(f"127.0.0.1:{p.port}") as channel:
        call = channel.stream_stream(f"/{SERVICE}/DeltaAggregatedResources")()
        await call.write(raw)
        return await call.read()


async def test_health_and_reflection_are_served() -> None:
    async with pilot(world()) as p, grpc.aio.insecure_channel(f"127.0.0.1:{p.port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=SERVICE)
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        services = {each.name for each in (await call.read()).list_services_response.service}
        assert SERVICE in services


async def test_a_port_that_is_taken_is_said_to_be() -> None:
    async with pilot(world()) as p:
        other = AdsServer(Sessions(StaticCompiler(), world(), Metrics()))
        with pytest.raises(CannotListen, match=f"cannot serve xDS on 127.0.0.1:{p.port}"):
            other.listen(f"127.0.0.1:{p.port}")
