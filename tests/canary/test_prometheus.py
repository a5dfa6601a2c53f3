"""H4: gates that ask a Prometheus by its URL: what has no answer says why, and is never a pass."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web

from loadtests.canary.gates import judge
from loadtests.canary.metrics import NoData, ask
from loadtests.canary.verdicts import Verdict
from tests.canary.measured import labelled, measured
from tests.canary.test_gates import rollout
from tests.ports import free_port

pytestmark = pytest.mark.behaviour("H4")
ANSWERS = {
    "one": '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.25"]}]}}',
    "none": '{"status":"success","data":{"resultType":"vector","result":[]}}',
    "two": (
        '{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}'
    ),
    "scalar(1)": '{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}',
    "0/0": '{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}',
    "up[1m]": '{"status":"success","data":{"resultType":"matrix","result":[]}}',
    "sum(": '{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"}',
    "page": "<html>",
}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[str]:
    """Speaks Prometheus' HTTP API (v1) as its documentation shows it; a real one answers in `e2e`."""
    loop = asyncio.new_event_loop()

    async def answer(request: web.Request) -> web.Response:
        query = request.query["query"]
        return web.Response(text=ANSWERS[query], status=400 if query == "sum(" else 200)

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/v1/query", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize(("query", "value"), [("one", 0.25), ("scalar(1)", 7.0)])
def test_a_number(prometheus: str, query: str, value: float) -> None:
    assert ask(prometheus, query) == value


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("none", "'none' finds no series"),
        ("two", "'two' gives 2 series: make them one, such as by sum"),
        ("0/0", "the value is nan"),
        ("up[1m]", "gives a matrix, not one number"),
        ("sum(", "refuses the query 'sum(': 1:5: parse error: unexpected end of input"),
        ("page", "answers 200, and not as a Prometheus does"),
    ],
)
def test_no_number_says_why(prometheus: str, query: str, words: str) -> None:
    with pytest.raises(NoData) as caught:
        ask(prometheus, query)
    assert words in str(caught.value)


def test_nobody_there() -> None:
    with pytest.raises(
        NoData, match=r"Prometheus at http://127.0.0.1:\d+ does not answer: Connection refused"
    ):
        ask(f"http://127.0.0.1:{free_port()}", "up")


@pytest.mark.parametrize(
    ("query", "verdict"),
    [("one", Verdict.PASS), ("scalar(1)", Verdict.FAIL), ("none", Verdict.INCONCLUSIVE)],
)
def test_a_gate(prometheus: str, query: str, verdict: Verdict) -> None:
    one = rollout(f"metric: {{prometheus: '{prometheus}', query: '{query}', atMost: 0.5}}")
    found = judge(one, one.spec.steps[0], measured(labelled(50)))[-1]
    assert found.verdict is verdict
    assert query in found.words
