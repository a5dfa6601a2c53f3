"""Quotas: who is charged, how much, by which handler, and what a refusal says."""

import asyncio
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest

from tests.loops import run
from tests.mixer.policy.rig import action, handler, instance, request, rule, running, thing
from tests.mixer.probe import probes

pytestmark = pytest.mark.behaviour("P3")

COUNT = instance("count", "quota", dimensions={"source": 'source.labels["app"] | "unknown"'})


def budget(limit: int, **params: Any) -> dict[str, Any]:
    return handler("budget", "probe", limit=limit, **params)


def charged(*rules: dict[str, Any]) -> dict[str, Any]:
    return thing("QuotaSpec", "spec", rules=list(rules))


def bound(service: str = "forecast") -> dict[str, Any]:
    return thing(
        "QuotaSpecBinding",
        "binding",
        quotaSpecs=[{"name": "spec", "namespace": "istio-system"}],
        services=[{"name": service, "namespace": "weather"}],
    )


def quota(charge: int = 1, **match: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"quotas": [{"quota": "count", "charge": charge}]}
    return {**made, **({"match": [{"clause": match["clause"]}]} if match else {})}


KEEP = rule("keep", actions=[action("budget", "count")])


def test_beyond_the_budget_it_is_429_with_reason_and_retry_after(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [budget(2, retry_after=1.2), COUNT, KEEP, charged(quota()), bound()]
        async with running(tmp_path, *objects) as rig:
            assert [await rig.status() for _ in range(2)] == [200, 200]
            denied = (await rig.check(request())).denied_response
            assert denied.status.code == 429
            assert denied.body.startswith("RESOURCE_EXHAUSTED:budget.istio-system:")
            assert {e.header.key: e.header.value for e in denied.headers}["retry-after"] == "2"
            assert await rig.metric('mixer_policy_quotas_total{result="granted"}') == 2
            assert await rig.metric('mixer_policy_quotas_total{result="refused"}') == 1

    run(work())


def test_only_calls_to_bound_services_are_charged(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [budget(0), COUNT, KEEP, charged(quota()), bound("frontend")]
        async with running(tmp_path, *objects) as rig:
            assert await rig.status() == 200
            assert await rig.status(destination="10.0.0.2", port=3000) == 429

    run(work())


def test_a_charge_may_be_more_than_one_and_for_some_calls_only(tmp_path: Path) -> None:
    async def work() -> None:
        clause = {"request.headers[size]": {"exact": "large"}}
        objects = [budget(10), COUNT, KEEP, charged(quota(5, clause=clause)), bound()]
        async with running(tmp_path, *objects) as rig:
            assert [await rig.status({"size": "small"}) for _ in range(5)] == [200] * 5
            assert [await rig.status({"size": "large"}) for _ in range(3)] == [200, 200, 429]
            assert probes("budget.istio-system")[0].asked == 3

    run(work())


def test_what_a_check_refuses_is_not_charged(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            budget(10), COUNT, KEEP, charged(quota()), bound(),
            handler("deny", "probe", code=7), instance("nothing", "checknothing"),
            rule("z", 'request.headers["bad"] == "1"', [action("deny", "nothing")]),
        ]  # fmt: skip
        async with running(tmp_path, *objects) as rig:
            assert await rig.status({"bad": "1"}) == 403
            assert probes("budget.istio-system")[0].asked == 0
            assert await rig.status() == 200
            assert probes("budget.istio-system")[0].asked == 1

    run(work())


def test_a_rule_that_does_not_match_takes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        keep = rule("keep", 'source.labels["app"] == "other"', [action("budget", "count")])
        async with running(tmp_path, budget(0), COUNT, keep, charged(quota()), bound()) as rig:
            assert await rig.status() == 200

    run(work())


def test_the_first_rule_that_matches_says_which_handler_keeps_it(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            budget(10), handler("other", "probe", limit=0), COUNT, charged(quota()), bound(),
            rule("a", 'request.headers["paying"] == "1"', [action("budget", "count")]),
            rule("b", actions=[action("other", "count")]),
        ]  # fmt: skip
        async with running(tmp_path, *objects) as rig:
            assert await rig.status({"paying": "1"}) == 200
            assert await rig.status() == 429

    run(work())


def test_answers_from_the_cache_are_charged_each_time(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            budget(3), COUNT, KEEP, charged(quota()), bound(),
            handler("look", "probe", seconds=60), instance("nothing", "checknothing"),
            rule("z", actions=[action("look", "nothing")]),
        ]  # fmt: skip
        async with running(tmp_path, *objects) as rig:
            assert [await rig.status() for _ in range(4)] == [200, 200, 200, 429]
            assert probes("look.istio-system")[0].asked == 1

    run(work())


def test_the_same_question_twice_can_be_told_from_two_questions(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [budget(100), COUNT, KEEP, charged(quota()), bound()]
        async with running(tmp_path, *objects) as rig:
            for time in (5.0, 5.0, 6.0):
                await rig.check(request({"x-request-id": "a"}, time=time))
            taken = probes("budget.istio-system")[0].taken
            assert sorted(taken.values()) == [1, 2], "Envoy's retry has the same time, a caller's has not"

    run(work())


def test_exact_under_concurrency(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, budget(100), COUNT, KEEP, charged(quota()), bound()) as rig:
            found = await asyncio.gather(*(rig.status() for _ in range(300)))
            assert found.count(200) == 100
            assert found.count(429) == 200

    run(work())


def test_a_quota_adapter_that_fails_leaves_it_to_the_fail_policy(tmp_path: Path) -> None:
    async def work() -> None:
        broken = [
            handler("gone", "probe", start="no such host"),
            rule("keep", actions=[action("gone", "count")]),
        ]
        async with running(tmp_path, *broken, COUNT, charged(quota()), bound()) as rig:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rig.check(request())
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "handler gone.istio-system does not run"

    run(work())
