"""Pilot's HTTP interface, as people and tests use it."""

import asyncio
import json

import pytest

from mesh.model import ConfigObject, Labels, Locality, Port, Protocol, Service
from mesh.pilot.ads.pushes import Pushes
from mesh.pilot.debug.plain import plain
from mesh.pilot.pilot import Listen, serving
from mesh.pilot.world import World as Knowledge
from mesh.ports import CannotListen
from tests.pilot.ads.resources import bad_routes, cluster, endpoints, listener, routes
from tests.pilot.ads.sources import KIND, Config, Registry, key, make_from
from tests.pilot.ads.test_in_force import connected
from tests.pilot.ads.whole import proxy, whole
from tests.pilot.ads.world import StaticCompiler

pytestmark = pytest.mark.behaviour("X2")
BASE = cluster("a"), endpoints("a", 1), listener("l", "r"), routes("r", "a")


async def test_syncz_shows_each_proxy_and_type() -> None:
    async with whole(*BASE) as w, proxy(w.pilot.xds), proxy(w.pilot.xds, "advertisement", sotw=True):
        await connected(w, 2)
        first, second = await w.get("/debug/syncz")
        assert (first["proxy"], second["proxy"]) == ("advertisement.weather", "frontend.weather")
        assert (first["form"], second["form"]) == ("sotw", "delta")
        assert set(second["types"]) == {"CDS", "EDS", "LDS", "RDS"}
        for status in second["types"].values():
            assert (status["status"], status["error"], status["resources"]) == ("SYNCED", None, 1)
            assert status["nonce_sent"] == status["nonce_acked"]


async def test_syncz_shows_a_refusal_with_envoys_words_and_the_metrics_count_it() -> None:
    async with whole(*BASE) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        await w.apply("rule", bad_routes("r"))
        [status] = await w.get("/debug/syncz")
        assert status["types"]["RDS"]["status"] == "NACK"
        assert status["types"]["RDS"]["refused"] == ["r"]
        assert "Domains: value must contain" in status["types"]["RDS"]["error"]
        assert status["types"]["CDS"]["status"] == "SYNCED"
        async with w.http.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        assert 'pilot_total_xds_rejects_total{type="rds"} 1.0' in lines
        assert "pilot_xds 1.0" in lines


async def test_history_and_deliveries_say_what_went_where() -> None:
    async with whole(*BASE) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        await w.apply("rule", endpoints("a", 2))
        push = (await w.get("/debug/history"))[-1]
        assert push["causes"] == ["Prepared weather/rule"]
        assert (push["proxies"], push["resources"]) == (["frontend.weather"], 1)
        [delivery] = (await w.get("/debug/deliveries?proxy=frontend"))["frontend.weather"][-1:]
        assert (delivery["type"], delivery["names"], delivery["error"]) == ("EDS", ["a"], None)


async def test_config_registry_and_statistics() -> None:
    async with whole(*BASE) as w:
        config = await w.get("/debug/config")
        assert [each["key"] for each in config["objects"]] == ["Prepared weather/base"]
        assert await w.get("/debug/registry") == {"services": {}, "instances": {}, "workloads": {}}
        statistics = await w.get("/debug/statistics")
        assert (statistics["snapshot"], statistics["proxies"]) == (1, 0)


QUESTIONS = {
    "a JSON object is expected": [],
    "an object needs kind and name": {"objects": [{"kind": "VirtualService"}]},
    "unknown fields ['objekts']": {"objekts": []},
    "unknown fields ['colour']": {"objects": [{"kind": "A", "name": "b", "colour": "red"}]},
    "is not between 0 and 600": {"timeoutSeconds": 1e9},
    "could not convert string to float": {"timeoutSeconds": "soon"},
}


@pytest.mark.parametrize(("words", "question"), QUESTIONS.items())
async def test_a_wrong_question_gets_its_reason(words: str, question: object) -> None:
    async with whole() as w:
        status, answer = await w.post("/debug/in-force", question)
        assert status == 400
        assert words in answer["message"]


async def test_an_unknown_path_is_named() -> None:
    async with whole() as w, w.http.get("/debug/nothing") as answer:
        assert (answer.status, await answer.json()) == (404, {"message": "GET /debug/nothing: Not Found"})


async def test_a_port_that_is_taken_is_said_to_be() -> None:
    async with whole() as w:
        knowledge = Knowledge(Registry(), Config(), make_from(Config()), config_kinds={KIND})
        with pytest.raises(CannotListen, match=f"cannot serve HTTP on 127.0.0.1:{w.pilot.http}: Address"):
            async with serving(knowledge, StaticCompiler(), Listen("127.0.0.1", 0, w.pilot.http)):
                pass


async def test_a_source_that_fails_ends_the_start_with_its_reason() -> None:
    class Unreadable(Registry):
        async def run(self) -> None:
            self.synced.clear()
            raise PermissionError("services is forbidden")

    knowledge = Knowledge(Unreadable(), Config(), make_from(Config()))
    knowledge.registry.synced.clear()
    with pytest.raises(PermissionError, match="services is forbidden"):
        async with serving(knowledge, StaticCompiler(), Listen("127.0.0.1", 0, 0)):
            pass


async def test_a_source_that_fails_later_ends_pilot_with_its_reason() -> None:
    class Dying(Registry):
        async def run(self) -> None:
            await self.end.wait()
            raise ConnectionError("gone")

        end = asyncio.Event()

    registry = Dying()
    async with serving(
        Knowledge(registry, Config(), make_from(Config())), StaticCompiler(), Listen("127.0.0.1", 0, 0)
    ) as pilot:
        registry.end.set()
        with pytest.raises(ConnectionError, match="gone"):
            await pilot.finished()


def test_values_become_json() -> None:
    service = Service(
        hostname="forecast.weather.svc.cluster.local",
        name="forecast",
        namespace="weather",
        ports=(Port(3002, "http", Protocol.HTTP),),
        labels=Labels({"app": "forecast"}),
        origin=key("forecast"),
    )
    value = plain({("forecast", 80): service, key("rule"): {Locality("here")}})
    assert json.loads(json.dumps(value))["forecast:80"]["ports"] == [
        {"number": 3002, "name": "http", "protocol": "HTTP"}
    ]
    assert value["forecast:80"]["origin"] == "Prepared weather/forecast"
    assert value["Prepared weather/rule"] == [{"region": "here", "zone": "", "subzone": ""}]
    assert plain(ConfigObject(key("x"), "g", "v1", Pushes))["spec"].startswith("<class")
