"""Configuration that changes while calls are under way: handlers' lives."""

import asyncio
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest

from tests.live import until
from tests.loops import run
from tests.mixer.policy.rig import action, handler, instance, request, rule, running
from tests.mixer.probe import Probe, probes

pytestmark = pytest.mark.behaviour("P1", "O4")

NOTHING = instance("nothing", "checknothing")
RULE = rule("r", actions=[action("one", "nothing")])


def one(code: int = 0, **params: Any) -> dict[str, Any]:
    return handler("one", "probe", code=code, **params)


def test_a_change_takes_effect_without_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, one(), NOTHING, RULE) as rig:
            assert await rig.status() == 200
            await rig.change(one(7), NOTHING, RULE)
            assert await rig.status() == 403
            await rig.change()
            assert await rig.status() == 200

    run(work())


def test_a_handler_that_did_not_change_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, one(), NOTHING, RULE) as rig:
            await rig.status()
            other = rule("s", 'request.path == "/x"', [action("one", "nothing")])
            await rig.change(one(), NOTHING, RULE, other)
            await rig.status()
            (only,) = probes("one.istio-system")
            assert only.asked == 2
            assert not only.closed

    run(work())


def test_a_handler_is_closed_when_the_last_call_on_it_is_done(tmp_path: Path) -> None:
    async def work() -> None:
        Probe.blocked = asyncio.Event()
        async with running(tmp_path, one(hangs=True), NOTHING, RULE) as rig:
            call = asyncio.ensure_future(rig.status())
            (old,) = probes("one.istio-system")
            await until(lambda: old.asked, "the call is under way")
            await rig.change(one(7), NOTHING, RULE)
            assert await rig.status() == 403, "new calls go to the new one"
            assert not old.closed
            Probe.blocked.set()
            assert await call == 200, "old calls finish on the old one"
            await until(lambda: old.closed, "the old one is closed")
        assert all(each.closed for each in Probe.all)
        Probe.blocked = None

    run(work())


def test_a_handler_that_cannot_start_leaves_the_last_good_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, one(7), NOTHING, RULE) as rig:
            await rig.change(one(5, start="no such host"), NOTHING, RULE)
            assert await rig.status() == 403
            why = rig.policy.following.handlers.broken["one.istio-system"]
            assert why == "no such host; the last good one is used"
            assert "no such host" in await rig.page("/debug/mixer")
            assert await rig.metric("mixer_handlers_broken") == 1
            assert await rig.metric('mixer_handler_start_failures_total{handler="one.istio-system"}') == 1
            await rig.change(one(5), NOTHING, RULE)
            assert await rig.status() == 404
            assert await rig.metric("mixer_handlers_broken") == 0

    run(work())


def test_without_a_last_good_one_there_is_no_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, one(start="no such host"), NOTHING, RULE) as rig:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rig.check(request())
            assert caught.value.details() == "handler one.istio-system does not run"

    run(work())


def test_a_rule_that_leads_nowhere_is_told_and_the_others_stand(tmp_path: Path) -> None:
    async def work() -> None:
        lost = rule("lost", actions=[action("nobody", "nothing")])
        async with running(tmp_path, one(7), NOTHING, RULE, lost) as rig:
            assert await rig.status() == 403
            assert await rig.metric("mixer_config_problems") == 1
            assert "nobody" in await rig.page("/debug/mixer")

    run(work())


def test_handlers_of_reports_are_not_started_here(tmp_path: Path) -> None:
    async def work() -> None:
        report = instance("seen", "reportnothing")
        objects = [one(), report, rule("r", actions=[action("one", "seen")])]
        async with running(tmp_path, *objects) as rig:
            assert await rig.status() == 200
            assert not probes("one.istio-system")

    run(work())


def test_readiness_version_and_debug(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, one(), NOTHING, RULE) as rig:
            assert await rig.page("/ready") == "ready\n"
            assert '"version"' in await rig.page("/version")
            assert '"one.istio-system": "probe"' in await rig.page("/debug/mixer")

    run(work())


def test_a_handler_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, one(7, start="not yet"), NOTHING, RULE, retry=(0.01, 0.02)) as rig:
            following = rig.policy.following
            assert following.handlers.broken
            Probe.healed = True
            async with asyncio.timeout(30):
                await following.until(lambda _: not following.handlers.broken)
            assert await rig.status() == 403
        Probe.healed = False

    run(work())
