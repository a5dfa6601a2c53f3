"""Accepted is not programmed: the barrier returns when a change is in force, and says why when it is not."""

import asyncio
import os
import signal

import pytest

from mesh.model import Workload
from mesh.pilot.types import CDS, EDS, RDS, Resource
from tests.pilot.ads.resources import bad_routes, cluster, endpoints, listener, routes
from tests.pilot.ads.sources import key
from tests.pilot.ads.traffic import call, server
from tests.pilot.ads.whole import Whole, proxy, whole

pytestmark = pytest.mark.behaviour("X1", "X3")
BOTH = pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])


@BOTH
async def test_a_change_is_in_force_when_it_says_so(sotw: bool) -> None:
    async with (
        server("one") as one,
        server("two") as two,
        whole(cluster("a"), endpoints("a", one), listener("l", "r")) as w,
        proxy(w.pilot.xds, sotw=sotw) as e,
    ):
        assert (await w.apply("rule", routes("r", "a")))["state"] == "in-force"
        await connected(w, 1)
        assert (await w.in_force())["state"] == "in-force"
        url = await e.listener("l")
        assert url is not None
        for turn in range(20):
            name, target = f"c{turn}", (one, two)[turn % 2]
            verdict = await w.apply("rule", cluster(name), endpoints(name, target), routes("r", name))
            assert verdict["state"] == "in-force", verdict
            assert await call(url) == ("one", "two")[turn % 2]


async def test_it_names_what_changed_for_whom_and_when() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds), proxy(w.pilot.xds, "other", sotw=True):
        await connected(w, 2)
        verdict = await w.apply("rule", endpoints("a", 2))
        assert verdict["state"] == "in-force"
        assert {each["proxy"] for each in verdict["proxies"]} == {"frontend.weather", "other.weather"}
        for each in verdict["proxies"]:
            assert each["changed"] == ["EDS a"]
            assert 0 < each["ackMs"] <= each["inForceMs"]


async def test_a_change_that_concerns_nobody_is_in_force_at_once() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        verdict = await w.apply("rule", endpoints("nobody", 2))
        assert verdict["state"] == "in-force"
        assert verdict["proxies"] == []


async def test_a_refusal_comes_with_envoys_words_and_the_resource() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        verdict = await w.apply("rule", bad_routes("r", key("rule")))
        assert verdict["state"] == "nack"
        [error] = verdict["errors"]
        assert (error["proxy"], error["type"], error["resource"]) == ("frontend.weather", "RDS", "r")
        assert "Domains" in error["message"]


async def test_what_was_refused_before_is_no_obstacle_to_others() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        assert (await w.apply("bad", bad_routes("r")))["state"] == "nack"
        assert (await w.apply("good", endpoints("a", 2)))["state"] == "in-force"
        assert (await w.in_force("bad"))["state"] == "nack"
        assert (await w.in_force("base"))["state"] == "in-force"
        assert (await w.in_force())["state"] == "nack"


async def test_an_invalid_object_is_rejected_with_its_reason() -> None:
    async with whole(*base(1)) as w:
        version = w.config.put_invalid("rule", ValueError("spec.hosts: at least one is needed"))
        verdict = await w.in_force("rule", versions=(version,))
        assert verdict["state"] == "rejected"
        assert verdict["errors"] == [
            {"object": "Prepared weather/rule", "message": "spec.hosts: at least one is needed"}
        ]


async def test_it_waits_for_the_version_asked_for() -> None:
    async with whole(*base(1)) as w:
        waiting = asyncio.create_task(w.in_force("rule", versions=("2",)))
        verdict = await w.in_force("rule", versions=("2",), seconds=0.05)
        assert verdict["state"] == "timeout"
        assert verdict["waitingFor"] == ["Pilot to see Prepared weather/rule at version 2 (it has none)"]
        assert w.config.put("rule", endpoints("b", 2)) == "2"
        assert (await waiting)["state"] == "in-force"


async def test_a_deletion_is_in_force_when_it_has_gone_everywhere() -> None:
    async with server("one") as one, whole(*base(one)) as w, proxy(w.pilot.xds) as e:
        await connected(w, 1)
        await w.apply("more", cluster("b"), endpoints("b", one))
        assert (await w.in_force("more", deleted=True, seconds=0.05))["state"] == "timeout"
        w.config.delete("more")
        verdict = await w.in_force("more", deleted=True)
        assert verdict["state"] == "in-force"
        assert verdict["proxies"][0]["changed"][0] == "CDS b"
        active = {entry["cluster"]["name"] for entry in await e.config("dynamic_active_clusters")}
        assert active == {"a"}


async def test_an_unknown_kind_is_said_to_be_unknown() -> None:
    async with whole() as w:
        status, verdict = await w.post("/debug/in-force", {"objects": [{"kind": "Cow", "name": "berta"}]})
        assert (status, verdict["state"]) == (200, "unknown")
        assert "Cow berta" in verdict["errors"][0]["message"]


async def test_what_warms_is_waited_for() -> None:
    """A listener whose routes do not come: accepted, and not in use."""
    async with whole(*base(1)) as w, proxy(w.pilot.xds, sotw=True):
        await connected(w, 1)
        new = listener("l2", "missing")
        verdict = await w.apply("rule", new, seconds=0.5)
        assert verdict["state"] == "timeout"
        assert verdict["waitingFor"] == ["frontend.weather: RDS missing"]
        assert (await w.apply("rule", new, routes("missing", "a")))["state"] == "in-force"


async def test_an_agent_that_does_not_answer_is_reported() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        w.session().proxy.metadata["STATUS_PORT"] = 1  # type: ignore[index]
        verdict = await w.apply("rule", endpoints("a", 2), seconds=0.3)
        assert verdict["state"] == "timeout"
        assert "frontend.weather: its agent does not answer at http://127.0.0.1:1" in verdict["waitingFor"][0]


async def test_a_proxy_that_is_stuck_stops_only_what_concerns_it() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds) as stuck, proxy(w.pilot.xds, "other"):
        await connected(w, 2)
        os.kill(stuck.pid, signal.SIGSTOP)
        try:
            verdict = await w.apply("common", endpoints("a", 5), seconds=0.2)
            assert (verdict["state"], verdict["waitingFor"]) == ("timeout", ["frontend.weather: EDS a"])
            verdict = await w.apply("rule", cluster("b@other"), endpoints("b@other", 1))
            assert verdict["state"] == "in-force"
            assert [each["proxy"] for each in verdict["proxies"]] == ["other.weather"]
        finally:
            os.kill(stuck.pid, signal.SIGCONT)
        assert (await w.in_force("common"))["state"] == "in-force"


async def test_after_a_restart_it_waits_for_the_proxies_to_come_back() -> None:
    workload = Workload("frontend", "weather", ("127.0.0.1",), has_sidecar=True, ready=True)
    async with whole(*base(1), workloads=(workload,)) as w:
        waiting = asyncio.create_task(w.apply("rule", endpoints("a", 2)))
        assert not w.pilot.sessions
        async with proxy(w.pilot.xds):
            verdict = await waiting
            assert verdict["state"] == "in-force"
            assert [each["proxy"] for each in verdict["proxies"]] == ["frontend.weather"]


async def test_a_proxy_that_leaves_is_not_waited_for() -> None:
    async with whole(*base(1)) as w, proxy(w.pilot.xds, "other"):
        async with proxy(w.pilot.xds) as leaving:
            await connected(w, 2)
            os.kill(leaving.pid, signal.SIGSTOP)
            waiting = asyncio.create_task(w.apply("rule", endpoints("a", 5)))
            await w.pilot.sessions.notice.wait_for(
                lambda: w.pilot.pushes.done > 0, deadline=asyncio.get_running_loop().time() + 5
            )
        assert (await waiting)["state"] == "in-force"


def base(port: int) -> tuple[Resource, ...]:
    return cluster("a"), endpoints("a", port), listener("l", "r"), routes("r", "a")


async def connected(w: Whole, count: int) -> None:
    """Wait until so many proxies have all that there is."""
    sessions = w.pilot.sessions

    def ready() -> bool:
        return len(sessions) == count and all(
            {CDS, EDS, RDS} <= s.machine.watches.keys() and not s.machine.unsettled() for s in sessions
        )

    assert await sessions.notice.wait_for(ready, deadline=asyncio.get_running_loop().time() + 20)


async def test_a_status_written_meanwhile_hides_no_refusal() -> None:
    """Galley writes what Pilot reports into the object, which gives it a new version of the same meaning."""
    async with whole(*base(1)) as w, proxy(w.pilot.xds):
        await connected(w, 1)
        assert (await w.apply("bad", bad_routes("r")))["state"] == "nack"
        version = w.config.touch("bad")
        assert (await w.in_force("bad", versions=(version,)))["state"] == "nack"
        mended = w.config.put("bad", endpoints("a", 2))
        w.config.touch("bad")
        assert (await w.in_force("bad", versions=(mended,)))["state"] == "in-force"
