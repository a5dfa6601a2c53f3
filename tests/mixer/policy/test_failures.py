"""Checks without an answer, and too many of them: what the proxy that asked is told, and what is counted."""

import asyncio
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest

from mesh.mixer.policy.gate import Limits
from tests.live import until
from tests.loops import run
from tests.mixer.policy.rig import Rig, action, handler, instance, request, rule, running
from tests.mixer.policy.test_checks import NOTHING, asking, refusing
from tests.mixer.probe import Probe

pytestmark = pytest.mark.behaviour("P4")


async def failure(rig: Rig, asked: Any = None) -> tuple[Any, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.check(asked or request())
    return caught.value.code(), caught.value.details()


def test_an_adapter_that_fails_leaves_it_to_the_fail_policy(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [handler("bad", "probe", raises="boom"), *asking("bad")]
        async with running(tmp_path, *objects) as rig:
            code, details = await failure(rig)
            assert code == grpc.StatusCode.UNAVAILABLE
            assert details == "handler bad.istio-system: boom"
            assert await rig.metric('mixer_policy_failures_total{reason="adapter"}') == 1
            errors = 'mixer_dispatch_errors_total{adapter="probe",handler="bad.istio-system"}'
            assert await rig.metric(errors) == 1

    run(work())


def test_an_instance_that_cannot_be_made_does_too(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            handler("look", "probe"),
            instance("who", "listentry", value="request.auth.principal"),
            rule("r", actions=[action("look", "who")]),
        ]
        async with running(tmp_path, *objects) as rig:
            code, details = await failure(rig)
            assert code == grpc.StatusCode.UNAVAILABLE
            assert "instance who.instance.istio-system" in details
            assert "attribute request.auth.principal is absent" in details

    run(work())


def test_an_adapter_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [handler("slow", "probe", hangs=True), *asking("slow")]
        async with running(tmp_path, *objects, deadline=0.05) as rig:
            code, details = await failure(rig)
            assert code == grpc.StatusCode.DEADLINE_EXCEEDED
            assert details == "handlers gave no answer within 0.05 s"
            assert await rig.metric('mixer_policy_failures_total{reason="deadline"}') == 1
            assert await rig.metric("mixer_policy_pending") == 0

    run(work())


def test_overload_is_shed_at_once_and_counted(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [handler("slow", "probe", hangs=True), *asking("slow")]
        Probe.blocked = asyncio.Event()
        async with running(tmp_path, *objects, limits=Limits(2, 1, 60)) as rig:
            calls = [asyncio.ensure_future(rig.status()) for _ in range(3)]
            await until(lambda: "1 waiting" in repr(rig.policy.server.gate), "one waits")
            code, details = await failure(rig)
            assert code == grpc.StatusCode.UNAVAILABLE
            assert details == "istio-policy is overloaded: 2 checks are under way and 1 wait"
            assert await rig.metric("mixer_policy_shed_total") == 1
            Probe.blocked.set()
            assert await asyncio.gather(*calls) == [200, 200, 200]
        Probe.blocked = None

    run(work())


def test_what_a_proxy_says_cannot_break_it(tmp_path: Path) -> None:
    async def work() -> None:
        rules = rule("r", "destination.port == 3002", [action("deny", "nothing")])
        async with running(tmp_path, refusing(), NOTHING, rules) as rig:
            place = {"destination.port": "x", "context.reporter.kind": "inbound"}
            assert (await rig.check(request(extensions=place))).status.code == 7, "the port that was called"
            assert (await rig.check(request(source="pipe", destination="", port=0))).status.code == 0
            asked = request()
            asked.attributes.request.time.seconds = 10**15
            code, details = await failure(rig, asked)
            assert code == grpc.StatusCode.INTERNAL
            assert details == "the check failed; see the log of istio-policy"
            assert await rig.metric('mixer_policy_failures_total{reason="fault"}') == 1

    run(work())


def test_a_proxy_that_does_not_wait_any_longer_is_counted(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [handler("slow", "probe", hangs=True), *asking("slow")]
        async with running(tmp_path, *objects) as rig:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rig.check(request(), within=0.05)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: not rig.policy.server.gate.inside, "its place is free again")
            assert await rig.metric('mixer_policy_failures_total{reason="abandoned"}') == 1

    run(work())


def test_who_has_waited_too_long_is_turned_away_so_that_others_are_answered_in_time(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [handler("busy", "probe", works=0.05), *asking("busy")]
        async with running(tmp_path, *objects) as rig:
            await rig.check(request(), within=1.0)
            asked = [rig.check(request(), within=1.0) for _ in range(40)]
            found = await asyncio.gather(*asked, return_exceptions=True)
            answered = [each for each in found if not isinstance(each, BaseException)]
            codes = {each.code() for each in found if isinstance(each, grpc.aio.AioRpcError)}
            assert 5 <= len(answered) < 40, "twice as much is asked as can be done in their time"
            assert grpc.StatusCode.UNAVAILABLE in codes
            assert await rig.metric("mixer_policy_shed_total") > 0

    run(work())
