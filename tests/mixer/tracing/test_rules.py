"""O3: a span is completed by the rules that match it and goes to each handler once; one port, both ways."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry

from mesh.galley.source.files import FileSource
from mesh.mixer.attributes.span import attributes
from mesh.mixer.attributes.workload import Workloads
from mesh.mixer.core import Following
from mesh.mixer.handlers import Surroundings
from mesh.mixer.metrics import HandlerMetrics
from mesh.mixer.tracing.serve import spans_served
from mesh.mixer.tracing.spans import read_spans
from mesh.registry.static import StaticRegistry
from mesh.rules.registry import adapters
from mesh.rules.templates import Variety
from pytest_mesh.authority import Authority
from tests.live import until
from tests.loops import run
from tests.mixer.policy.rig import SERVICES, action, handler, instance, rule
from tests.mixer.tracing.rig import NOW, TRACE, Receiver, counted, json_of, receiving, span
from tests.mixer.tracing.schema import valid

pytestmark = pytest.mark.behaviour("O3", "O4")

CLASSIC: dict[str, Any] = {
    "traceId": 'request.headers["x-b3-traceid"]',
    "spanId": 'request.headers["x-b3-spanid"] | ""',
    "parentSpanId": 'request.headers["x-b3-parentspanid"] | ""',
    "spanName": 'request.path | "/"',
    "startTime": "request.time",
    "endTime": "response.time",
    "clientSpan": '(context.reporter.kind | "inbound") == "outbound"',
    "rewriteClientSpanId": "false",
    "httpStatusCode": "response.code | 0",
    "sourceName": 'source.workload.name | "unknown"',
    "destinationName": 'destination.workload.name | "unknown"',
    "spanTags": {
        "user": 'request.headers["end-user"] | "nobody"',
        "destination_service": 'destination.service.host | ""',
        "source_principal": 'source.principal | ""',
        "source_version": 'source.labels["version"] | ""',
    },
}
"""An instance as classic Istio's documentation has it: no line of it knows who made the span."""

AWAY: dict[str, Any] = {"url": "http://127.0.0.1:9", "closeTimeout": "10ms"}


@dataclass
class Rig:
    """A receiver under rules, and how to change them."""

    zipkin: Receiver
    rules: Path
    following: Following
    registry: CollectorRegistry

    async def put(self, *objects: dict[str, Any]) -> None:
        """Set the rules, and wait until they are in force."""
        before = self.following.generation
        self.rules.joinpath("rules.yaml").write_text(yaml.safe_dump_all(objects))
        await until(lambda: self.following.generation > before, "the rules are in force")


@asynccontextmanager
async def under(
    folder: Path, *objects: dict[str, Any], context: ssl.SSLContext | None = None
) -> AsyncIterator[Rig]:
    """A receiver under rules, until the block ends."""
    services, rules, registry = folder / "services.yaml", folder / "rules", CollectorRegistry()
    rules.mkdir()
    services.write_text(yaml.safe_dump(SERVICES))
    (rules / "rules.yaml").write_text(yaml.safe_dump_all(objects))
    known, source = StaticRegistry(services), FileSource([rules])
    following = Following(
        source, adapters(), Surroundings(HandlerMetrics(registry), folder), [Variety.REPORT]
    )
    tasks = [asyncio.create_task(each.run()) for each in (known, source, following)]
    try:
        await until(lambda: known.synced.is_set() and following.generation, "the rules are in force")
        workloads = Workloads(known)
        async with (
            spans_served(
                lambda: following.live, workloads, registry, host="127.0.0.1", port=0, context=context
            ) as server,
            aiohttp.ClientSession() as session,
        ):
            yield Rig(Receiver(None, server, session), rules, following, registry)  # type: ignore[arg-type]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def zipkin_handler(name: str, to: Receiver) -> dict[str, Any]:
    return handler(name, "zipkin", url=to.url, flushInterval="10ms")


def test_classic_rules_complete_and_forward_the_span_that_envoy_made(tmp_path: Path) -> None:
    async def scenario() -> list[Any]:
        async with receiving() as back_end:
            objects = (
                zipkin_handler("traces", back_end),
                instance("span", "tracespan", **CLASSIC),
                rule("trace", 'context.protocol == "http"', [action("traces", "span")]),
            )
            async with under(tmp_path, *objects) as rig:
                await rig.zipkin.post(span(parentId="00000000000000aa"))
                await until(lambda: len(back_end.store) == 1, "it is forwarded")
                kept = valid(await rig.zipkin.get(f"trace/{TRACE}"))
                return [*valid(await back_end.get(f"trace/{TRACE}")), *kept]

    forwarded, kept = run(scenario())
    tags = {
        "user": "ann",
        "destination_service": "forecast.weather.svc.cluster.local",
        "source_principal": "cluster.local/ns/weather/sa/frontend",
        "source_version": "v1",
    }
    assert forwarded == {
        "traceId": TRACE,
        "parentId": "00000000000000aa",
        "id": "a2fb4a1d1a96d312",
        "kind": "SERVER",
        "name": "/weather?city=Hangzhou",
        "timestamp": NOW,
        "duration": 2500,
        "localEndpoint": {"serviceName": "forecast-v1"},
        "remoteEndpoint": {"serviceName": "frontend-v1"},
        "tags": {**tags, "http.status_code": "200"},
    }
    assert tags.items() <= kept["tags"].items() and kept["name"] != forwarded["name"]


def test_each_handler_gets_a_span_once_however_many_rules_send_it(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, int]:
        async with receiving() as one, receiving() as other:
            objects = (
                zipkin_handler("one", one),
                zipkin_handler("other", other),
                instance("span", "tracespan", **CLASSIC),
                instance("again", "tracespan", **CLASSIC),
                rule("a", "", [action("one", "span", "again"), action("other", "span")]),
                rule("b", 'request.method == "GET"', [action("one", "again")]),
                rule("c", 'request.method == "PUT"', [action("one", "again")]),
            )
            async with under(tmp_path, *objects) as rig:
                for _ in range(2):  # and Envoy may send again what it thinks was not taken
                    await rig.zipkin.post(*(span(f"{number:016x}") for number in range(1, 51)))
                await until(lambda: len(one.store) == len(other.store) == 50, "they are forwarded")
            return one.store.repeated, other.store.repeated

    assert run(scenario()) == (0, 0)


def test_rules_of_another_namespace_do_not_count(tmp_path: Path) -> None:
    async def scenario() -> Mapping[str, str]:
        objects = (
            handler("none", "zipkin", namespace="weather", **AWAY),
            handler("none", "zipkin", namespace="other", **AWAY),
            instance("span", "tracespan", namespace="weather", spanTags={"mine": '"yes"'}),
            instance("span", "tracespan", namespace="other", spanTags={"theirs": '"yes"'}),
            rule("a", "", [action("none", "span")], namespace="weather"),
            rule("b", "", [action("none", "span")], namespace="other"),
        )
        async with under(tmp_path, *objects) as rig:
            await rig.zipkin.post(span())
            (found,) = await rig.zipkin.get(f"trace/{TRACE}")
            tags: Mapping[str, str] = found["tags"]
            return tags

    found = run(scenario())
    assert found.get("mine") == "yes" and "theirs" not in found


def test_a_handler_changes_live_and_a_dead_one_loses_no_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with receiving() as back_end:
            rest = (
                instance("span", "tracespan", **CLASSIC),
                rule("trace", "", [action("traces", "span")]),
            )
            dead = handler("traces", "zipkin", queueSize=5, **AWAY)
            async with under(tmp_path, dead, *rest) as rig:
                for number in range(1, 21):
                    assert (await rig.zipkin.post(span(f"{number:016x}")))[0] == 202
                lost = {"handler": "traces.istio-system", "reason": "queue full"}
                assert counted(rig.registry, "mixer_export_lost_total", **lost) == 15
                await rig.put(zipkin_handler("traces", back_end), *rest)
                await rig.zipkin.post(span("00000000000000ff"))
                await until(lambda: len(back_end.store) == 1, "it is forwarded")
                assert counted(rig.registry, "mixer_spans_received_total") == 21

    run(scenario())


def test_attributes_of_the_caller_s_side(tmp_path: Path) -> None:
    async def scenario() -> dict[str, Any]:
        services = tmp_path / "services.yaml"
        services.write_text(yaml.safe_dump(SERVICES))
        known = StaticRegistry(services)
        task = asyncio.create_task(known.run())
        await until(known.synced.is_set, "the services are known")
        given = span(kind="CLIENT")
        given["tags"] |= {
            "node_id": "sidecar~10.0.0.2~frontend-v1.weather~weather.svc.cluster.local",
            "upstream_cluster": "outbound|3002||forecast.weather.svc.cluster.local",
            "upstream_address": "10.0.0.1:3002",
            "grpc.status_code": "0",
        }
        (made,) = read_spans(json_of([given]))
        found = attributes(made, Workloads(known))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found

    found = run(scenario())
    assert found["context.reporter.kind"] == "outbound"
    assert found["context.protocol"] == "grpc"
    assert found["source.workload.name"] == "frontend-v1"
    assert found["destination.workload.name"] == "forecast-v1"
    assert found["destination.service.host"] == "forecast.weather.svc.cluster.local"
    assert found["request.host"] == "forecast:3002" and found["request.url_path"] == "/weather"
    assert found["request.query_params"] == {"city": "Hangzhou"}
    assert (found["response.code"], found["response.size"]) == (200, 592)
    assert found["response.time"] - found["request.time"] == found["response.duration"]


def test_one_port_takes_mutual_tls_and_clear_text(tmp_path: Path) -> None:
    mesh, other = Authority.new("the mesh's root"), Authority.new("another root")

    def context(side: int, authority: Authority, name: str) -> ssl.SSLContext:
        made = ssl.SSLContext(side)
        pair = authority.issue(name)
        files = [tmp_path / f"{authority.certificate.serial_number}-{side}.{end}" for end in ("crt", "key")]
        files[0].write_text(pair.certificate)
        files[1].write_text(pair.key)
        made.load_cert_chain(files[0], files[1])
        made.load_verify_locations(cadata=mesh.pem)
        if side == ssl.PROTOCOL_TLS_CLIENT:
            made.check_hostname = False
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    async def scenario() -> None:
        serving = context(ssl.PROTOCOL_TLS_SERVER, mesh, "spiffe://cluster.local/ns/istio-system/sa/t")
        known = context(ssl.PROTOCOL_TLS_CLIENT, mesh, "spiffe://cluster.local/ns/weather/sa/frontend")
        stranger = context(ssl.PROTOCOL_TLS_CLIENT, other, "spiffe://cluster.local/ns/weather/sa/frontend")
        async with under(tmp_path, context=serving) as rig:
            url = f"https://127.0.0.1:{rig.zipkin.server.port}/api/v2/spans"
            headers = {"content-type": "application/json"}
            async with aiohttp.ClientSession(headers=headers) as session:
                async with session.post(url, data=json_of([span()]), ssl=known) as answer:
                    assert answer.status == 202
                with pytest.raises(aiohttp.ClientError):
                    await session.post(url, data=json_of([span("00000000000000ee")]), ssl=stranger)
            assert len(await rig.zipkin.get(f"trace/{TRACE}")) == 1

    run(scenario())


def test_reports_of_calls_make_no_spans(tmp_path: Path) -> None:
    """Only the tracer does: else each span would be there twice, with ids of its own."""

    async def scenario() -> int:
        objects = (
            handler("traces", "zipkin", **AWAY),
            instance("span", "tracespan", spanTags={"a": '"b"'}),
            rule("trace", "", [action("traces", "span")]),
        )
        async with under(tmp_path, *objects) as rig:
            values = {"context.reporter.kind": "inbound", "destination.namespace": "weather"}
            return rig.following.live.report([(values, "weather")])

    assert run(scenario()) == 0


def test_callers_that_say_nothing_or_nonsense_hold_nobody_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under(tmp_path) as rig:
            port = rig.zipkin.server.port
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            reader, nonsense = await asyncio.open_connection("127.0.0.1", port)
            nonsense.write(b"\x16\x03\x01 this is no handshake\r\n\r\n")
            assert b"400" in await reader.read(100)  # without a certificate there is no TLS here
            large = io.BytesIO(b"[" + b" " * 9_000_000 + b"]")
            spans = f"{rig.zipkin.url}/api/v2/spans"
            headers = {"content-type": "application/json"}
            async with rig.zipkin.session.post(spans, data=large, headers=headers) as answer:
                assert answer.status == 413
            assert (await rig.zipkin.post(span()))[0] == 202
            for each in (nonsense, *(writer for _, writer in silent)):
                each.close()
                await each.wait_closed()

    run(scenario())
