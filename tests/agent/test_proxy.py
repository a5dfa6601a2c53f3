"""pilot-agent with a real Envoy and a real Pilot: start, readiness, warming, drain, end."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.config.listener.v3 import listener_pb2

from mesh.pilot.types import CDS, LDS, Resource
from tests.agent.inside import run
from tests.agent.running import AGENT, PILOT_AGENT, READY, agent, children, ready, status, text, until
from tests.pilot.ads.pilot import pilot
from tests.pilot.ads.resources import cluster, endpoints, listener, prepared, routes
from tests.pilot.ads.world import World, world

pytestmark = pytest.mark.behaviour("I3")

APP, ENTRY = 8080, 9080
SLOW = 1.0  # seconds that a slow answer takes


def through_envoy() -> World:
    """Port 9080 leads to the application."""
    return world(
        cluster("app"), endpoints("app", APP), listener("entry", "entry", port=ENTRY), routes("entry", "app")
    )


@asynccontextmanager
async def application() -> AsyncIterator[None]:
    async def answer(request: web.Request) -> web.Response:
        if "slow" in request.query:
            await asyncio.sleep(SLOW)
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", APP).start()
    try:
        yield
    finally:
        await runner.cleanup()


class Callers:
    """Callers as a mesh has them: they stop taking a Pod for new requests when it is no longer ready."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.after_term = 0
        self.leaving = asyncio.Event()
        self.told = asyncio.Event()

    async def call(self, http: aiohttp.ClientSession, query: str = "") -> None:
        try:
            async with http.get(f"http://127.0.0.1:{ENTRY}/{query}") as answer:
                self.answers.append(f"{answer.status} {await answer.text()}")
        except aiohttp.ClientError as error:
            self.answers.append(repr(error))
        self.after_term += self.leaving.is_set()

    async def kept(self) -> None:
        """One connection for all requests, unless the other side ends it."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
            while not self.told.is_set():
                await self.call(http)

    async def fresh(self) -> None:
        """A connection for each request."""
        while not self.told.is_set():
            async with aiohttp.ClientSession() as http:
                await self.call(http)

    async def watch_readiness(self) -> None:
        await until(answers(READY, 503))
        self.told.set()


async def drains(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, application(), agent(folder, serving.port) as running:
        await ready()
        callers = Callers()
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            group.create_task(callers.kept())
            group.create_task(callers.fresh())
            group.create_task(callers.watch_readiness())
            await until(enough(callers, 200))
            group.create_task(callers.call(http, "?slow"))
            await until(active(2))
            callers.leaving.set()
            running.signal(signal.SIGTERM)
        return {
            "code": await running.ended(),
            "answers": sorted(set(callers.answers)),
            "count": len(callers.answers),
            "after": callers.after_term,
            "log": running.log.read_text(),
        }


def enough(callers: Callers, count: int) -> Any:
    async def condition() -> bool:
        return len(callers.answers) >= count

    return condition


def active(count: int) -> Any:
    """Whether so many requests are under way: the slow one is, when another comes beside it."""

    async def condition() -> bool:
        found = json.loads(
            await text("http://127.0.0.1:15000/stats?format=json&filter=cluster.app.upstream_rq_active")
        )
        return int(found["stats"][0]["value"]) >= count

    return condition


def test_sigterm_drains_without_a_failed_request(tmp_path: Path) -> None:
    result = run(drains, tmp_path)
    assert result["code"] == 0, result["log"]
    assert result["answers"] == ["200 hello"]
    assert result["count"] > 200 and result["after"] > 1


async def ends_soon_without_callers(folder: Path) -> Any:
    async with (
        pilot(through_envoy()) as serving,
        agent(folder, serving.port, terminationDrainDuration="60s") as one,
    ):
        await ready()
        one.signal(signal.SIGTERM)
        return await one.ended()


def test_without_callers_the_drain_does_not_take_its_whole_time(tmp_path: Path) -> None:
    assert run(ends_soon_without_callers, tmp_path) == 0


async def waits_for_pilot(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving:
        port = serving.port
    async with agent(folder, port):
        await until(answers(f"{AGENT}/healthz/ready", 503))
        refusal = await text(f"{AGENT}/healthz/ready")
        async with pilot(through_envoy(), port=port):
            await ready()
        # The last configuration stays in force without Pilot.
        async with application():
            return [refusal, await status(READY), await text(f"http://127.0.0.1:{ENTRY}/")]


def answers(url: str, code: int) -> Any:
    async def condition() -> bool:
        return await status(url) == code

    return condition


def test_it_is_ready_only_when_pilot_has_spoken_and_stays_so_without_it(tmp_path: Path) -> None:
    refusal, code, body = run(waits_for_pilot, tmp_path)
    assert "not live yet" in refusal or "does not answer" in refusal
    assert (code, body) == (200, "hello")


async def speaks_state_of_the_world(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port, delta=False), application():
        await ready()
        return await text(f"http://127.0.0.1:{ENTRY}/")


def test_the_older_form_of_xds(tmp_path: Path) -> None:
    assert run(speaks_state_of_the_world, tmp_path) == "hello"


async def tells_what_is_warming(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port):
        await ready()
        seen = [await warming()]
        serving.change(waiting_in_vain("late"))
        await until(is_warming(1))
        seen.append(await warming())
        await until(is_warming(0))
        return seen


def waiting_in_vain(name: str) -> Resource:
    """A cluster that asks for its endpoints where nobody gives any, and gives up after a while."""
    message = cluster_pb2.Cluster.FromString(cluster(name).payload)
    source = message.eds_cluster_config.eds_config
    source.api_config_source.api_type = config_source_pb2.ApiConfigSource.GRPC
    source.api_config_source.transport_api_version = config_source_pb2.ApiVersion.V3
    source.api_config_source.grpc_services.add().envoy_grpc.cluster_name = "xds-grpc"
    source.initial_fetch_timeout.FromSeconds(3)
    return prepared(CDS, name, message, frozenset())


async def warming() -> Any:
    return json.loads(await text(f"{AGENT}/debug/warming"))


def is_warming(clusters: int) -> Any:
    async def condition() -> bool:
        return bool((await warming())["clusters"] == clusters)

    return condition


def test_a_cluster_that_waits_for_its_endpoints_is_warming(tmp_path: Path) -> None:
    assert run(tells_what_is_warming, tmp_path) == [
        {"clusters": 0, "listeners": 0},
        {"clusters": 1, "listeners": 0},
    ]


async def sees_envoy_die(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port) as running:
        await ready()
        os.kill(children(running.pid)[0], signal.SIGKILL)
        return [await running.ended(), running.log.read_text()]


def test_it_ends_with_envoy(tmp_path: Path) -> None:
    code, log = run(sees_envoy_die, tmp_path)
    assert code == 128 + signal.SIGKILL
    assert "Envoy ended by itself with -9" in log and "Traceback" not in log


ORPHAN = "import os, time; os.fork() or (time.sleep(0.05), os._exit(3)); os._exit(0)"


async def is_first_process(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port, first=True) as running:
        await ready()
        enter = ["nsenter", "--target", str(running.pid), "--pid", "--mount"]
        entered = await asyncio.create_subprocess_exec(*enter, sys.executable, "-c", ORPHAN)
        await entered.wait()
        await until(no_zombie(running.pid))
        running.signal(signal.SIGTERM)
        return await running.ended()


def no_zombie(first: int) -> Any:
    """Whether the orphan has come and gone: the first process has no child but Envoy."""

    async def condition() -> bool:
        return len(children(first)) == 1

    return condition


def test_as_first_process_it_reaps_orphans_and_obeys_sigterm(tmp_path: Path) -> None:
    assert run(is_first_process, tmp_path) == 0


async def answers_the_verbs(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port):
        waited = await asyncio.create_subprocess_exec(*PILOT_AGENT, "wait", "--timeoutSeconds", "20")
        code = await waited.wait()
        asked = await asyncio.create_subprocess_exec(
            *PILOT_AGENT, "request", "GET", "server_info", stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await asked.communicate()
        outside = await text(f"{AGENT}/nothing")
        return [code, json.loads(printed)["node"]["id"], outside, await status(f"{AGENT}/stats/prometheus")]


def test_wait_and_request(tmp_path: Path) -> None:
    assert run(answers_the_verbs, tmp_path) == [
        0,
        "sidecar~127.0.0.1~frontend.weather~weather.svc.cluster.local",
        "pilot-agent answers GET /healthz/ready, GET /debug/warming, GET /stats/prometheus,"
        " POST /quitquitquit\n",
        200,
    ]


async def leaves_when_told(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port) as running:
        await ready()
        answer = await text(f"{AGENT}/quitquitquit", "POST")
        return [answer, await running.ended()]


def test_a_job_ends_its_sidecar(tmp_path: Path) -> None:
    assert run(leaves_when_told, tmp_path) == ["leaving\n", 0]


async def finds_its_port_taken(folder: Path) -> Any:
    with socket.create_server(("0.0.0.0", 15020)):
        async with agent(folder, 1) as running:
            return [await running.ended(), running.log.read_text()]


def test_a_port_that_is_taken_is_named_with_the_remedy(tmp_path: Path) -> None:
    code, log = run(finds_its_port_taken, tmp_path)
    assert code == 1
    assert "port 15020, where the agent answers, cannot be used" in log
    assert "status.sidecar.istio.io/port" in log and log.count("\n") == 1


async def has_metrics(folder: Path) -> Any:
    async with pilot(through_envoy()) as serving, agent(folder, serving.port):
        await ready()
        return await text("http://127.0.0.1:15090/stats/prometheus")


def test_envoys_metrics_on_their_own_port(tmp_path: Path) -> None:
    assert "envoy_server_live" in run(has_metrics, tmp_path)


async def refuses_everything(folder: Path) -> Any:
    bad = Resource(name="bad", type_url=LDS, version="1", payload=listener_pb2.Listener().SerializeToString())
    async with (
        pilot(world(cluster("app"), endpoints("app", APP), bad)) as serving,
        agent(folder, serving.port),
    ):
        await until(says("no listeners"))
        serving.change(
            listener("entry", "entry", port=ENTRY), routes("entry", "app"), without=((LDS, "bad"),)
        )
        await ready()


def says(words: str) -> Any:
    async def condition() -> bool:
        try:
            return words in await text(f"{AGENT}/healthz/ready")
        except aiohttp.ClientError:
            return False

    return condition


def test_a_proxy_that_refused_all_its_listeners_is_not_ready(tmp_path: Path) -> None:
    run(refuses_everything, tmp_path)
