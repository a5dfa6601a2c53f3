"""O3: the receiver takes what Zipkin's clients send, and answers queries as Zipkin does."""

import gzip
from typing import Any

import pytest

from mesh.mixer.tracing.store import SpanStore
from tests.loops import run
from tests.mixer.tracing.rig import NOW, TRACE, receiving, span
from tests.mixer.tracing.schema import valid

pytestmark = pytest.mark.behaviour("O3")

MS = NOW // 1000
FRONT: dict[str, Any] = {"localEndpoint": {"serviceName": "frontend.weather"}}


def test_a_trace_comes_back_as_it_went_in() -> None:
    async def scenario() -> None:
        async with receiving() as zipkin:
            sent = span(parentId="00000000000000aa", annotations=[{"timestamp": NOW + 5, "value": "ss"}])
            assert await zipkin.post(sent) == (202, "")
            (found,) = valid(await zipkin.get(f"trace/{TRACE}"))
            sent["localEndpoint"].pop("port")  # the schema: do not set it to zero
            assert found == sent

    run(scenario())


def test_compressed_bodies_and_short_ids_are_taken() -> None:
    async def scenario() -> None:
        async with receiving() as zipkin:
            body = gzip.compress(b'[{"traceId":"ABC","id":"1"}]')
            assert (await zipkin.post(body=body, content_encoding="gzip"))[0] == 202
            (found,) = valid(await zipkin.get("trace/abc"))
            assert found == {"traceId": "0000000000000abc", "id": "0000000000000001"}

    run(scenario())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"{}", "is a dict; send a list"),
        (b"[3]", "[0] is a int; write a span"),
        (b'[{"traceId":"xyz","id":"1"}]', "[0].traceId"),
        (b'[{"traceId":"a"}]', "[0].id"),
        (b'[{"traceId":"a","id":"1","kind":"BOTH"}]', "CLIENT"),
        (b'[{"traceId":"a","id":"1","timestamp":"now"}]', "microseconds"),
        (b'[{"traceId":"a","id":"1","tags":{"a":1}}]', "[0].tags"),
        (b'[{"traceId":"a","id":"1","localEndpoint":7}]', "[0].localEndpoint"),
    ],
)
def test_a_wrong_body_is_refused_whole_and_says_why(body: bytes, words: str) -> None:
    async def scenario() -> None:
        async with receiving() as zipkin:
            status, text = await zipkin.post(body=body)
            assert status == 400 and words in text and "Traceback" not in text
            assert not len(zipkin.store)

    run(scenario())


def test_queries() -> None:
    async def scenario() -> None:
        async with receiving() as zipkin:
            error = span("00000000000000b1", traceId="b1", timestamp=NOW + 1_000_000, duration=90_000)
            error["tags"]["error"] = "true"
            await zipkin.post(
                span("00000000000000a1", "CLIENT", name="get", **FRONT),
                span("00000000000000a2", parentId="00000000000000a1"),
                error,
            )
            assert await zipkin.get("services") == ["forecast.weather", "frontend.weather"]
            assert await zipkin.get("spans", serviceName="frontend.weather") == ["get"]
            assert await zipkin.get("remoteServices", serviceName="frontend.weather") == []

            async def traces(**params: str | int) -> list[str]:
                found = await zipkin.get("traces", **{"endTs": MS + 5000, **params})
                return [valid(each)[0]["traceId"] for each in found]

            late, early = "00000000000000b1", TRACE
            assert await traces() == [late, early]
            assert await traces(limit=1) == [late]
            assert await traces(serviceName="frontend.weather") == [early]
            assert await traces(serviceName="frontend.weather", spanName="get") == [early]
            assert await traces(serviceName="frontend.weather", spanName="put") == []
            assert await traces(annotationQuery="error") == [late]
            assert await traces(annotationQuery="http.method=GET and error=true") == [late]
            assert await traces(minDuration=50_000) == [late]
            assert await traces(maxDuration=50_000, minDuration=1) == [early]
            assert await traces(endTs=MS + 500) == [early]
            assert await traces(lookback=4500) == [late]
            found = await zipkin.get("traceMany", traceIds=f"{early},{late},ff")
            assert [each[0]["traceId"] for each in found] == [early, late]

    run(scenario())


def test_what_is_not_there_and_what_is_no_query() -> None:
    async def scenario() -> None:
        async with receiving() as zipkin:
            assert await zipkin.get("trace/ff") == (404, "ff not found\n")
            assert (await zipkin.get("trace/no-id"))[0] == 400
            assert (await zipkin.get("traces", limit="many"))[0] == 400
            assert (await zipkin.get("dependencies", endTs="late"))[0] == 400
            assert (await zipkin.get("spans"))[0] == 400
            assert await zipkin.get("autocompleteKeys") == []

    run(scenario())


def test_who_calls_whom() -> None:
    async def scenario() -> None:
        async with receiving() as zipkin:
            failed = span("00000000000000a4", parentId="00000000000000a3")
            failed["tags"]["error"] = "true"
            outside = {"remoteEndpoint": {"serviceName": "elsewhere"}}
            await zipkin.post(
                span("00000000000000a1", "CLIENT", **FRONT),
                span("00000000000000a2", parentId="00000000000000a1"),
                span("00000000000000a3", "CLIENT", **FRONT),
                failed,
                span("00000000000000a5", "CLIENT", **FRONT, **outside),
            )
            assert await zipkin.get("dependencies", endTs=MS + 1000) == [
                {"parent": "frontend.weather", "child": "elsewhere", "callCount": 1, "errorCount": 0},
                {"parent": "frontend.weather", "child": "forecast.weather", "callCount": 2, "errorCount": 1},
            ]

    run(scenario())


def test_a_span_that_comes_twice_is_taken_once() -> None:
    taken: list[str] = []

    async def scenario() -> None:
        async with receiving(lambda each: taken.append(each.id) or {}) as zipkin:  # type: ignore[func-returns-value]
            for _ in range(3):
                await zipkin.post(span(), span(kind="CLIENT"))
            assert len(await zipkin.get(f"trace/{TRACE}")) == 2
            assert (len(taken), zipkin.store.repeated) == (2, 4)

    run(scenario())


def test_tags_of_rules_are_kept_with_the_span() -> None:
    async def scenario() -> None:
        async with receiving(lambda _: {"tier": "gold"}) as zipkin:
            await zipkin.post(span())
            (found,) = valid(await zipkin.get(f"trace/{TRACE}"))
            assert found["tags"]["tier"] == "gold"

    run(scenario())


def test_the_store_is_bounded_and_forgets_whole_traces() -> None:
    async def scenario() -> None:
        store = SpanStore(most=10, most_of_one=4)
        async with receiving(store=store) as zipkin:
            for trace in range(1, 9):
                await zipkin.post(*(span(f"{trace:015}{number}", traceId=f"{trace}") for number in range(3)))
            assert (len(store), store.forgotten) == (9, 15)
            assert (await zipkin.get("trace/5"))[0] == 404
            assert len(await zipkin.get("trace/8")) == 3
            await zipkin.post(*(span(f"{number:016}", traceId="ee") for number in range(9)))
            assert len(await zipkin.get("trace/ee")) == 4

    run(scenario())
