"""Whatever the rules and calls are, answers from the cache are those that would be decided anew."""

import asyncio
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from mesh.mixer.policy.checker import Checker
from mesh.mixer.policy.metrics import PolicyMetrics
from tests.loops import run
from tests.mixer.policy.rig import Rig, action, handler, instance, rule, running

pytestmark = pytest.mark.behaviour("P4")

CHANGES = count()
APPS, USERS = ["frontend", "forecast"], ["ann", "bob", ""]
MATCHES = [
    "",
    'source.labels["app"] == "frontend"',
    'request.headers["user"] == "ann"',
    '(request.headers["user"] | "nobody") != "bob"',
    'request.auth.principal == "x" || request.method == "GET"',
    'source.namespace == "weather" && request.headers["user"] != ""',
    '"^/a".matches(request.path)',
    "size(request.headers) > 1",
    'request.headers[source.name] == "1"',
]
VALUES = ['request.headers["user"] | "nobody"', 'source.labels["app"] | "unknown"', "request.method"]
REFUSED = ["ann", "nobody", "frontend", "POST"]


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A few rules, each with a handler that refuses some values."""
    found: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        refuses = draw(st.lists(st.sampled_from(REFUSED), max_size=2))
        found += [
            handler(f"h{number}", "probe", seconds=60, refuses=refuses),
            instance(f"i{number}", "listentry", value=draw(st.sampled_from(VALUES))),
            rule(
                f"r{number}",
                draw(st.sampled_from(MATCHES)),
                [action(f"h{number}", f"i{number}")],
                requestHeaderOperations=draw(st.sampled_from([[], [USER]])),
            ),
        ]
    return found


USER = {"name": "x-user", "values": ['request.headers["user"] | "none"'], "operation": "APPEND"}


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """The attributes of a call; any of them may be absent."""
    values: dict[str, Any] = {
        "destination.namespace": "weather",
        "source.name": draw(st.sampled_from(["pod-a", "pod-b"])),
        "source.namespace": draw(st.sampled_from(["weather", "other"])),
        "source.labels": {"app": draw(st.sampled_from(APPS))},
        "request.method": draw(st.sampled_from(["GET", "POST"])),
        "request.path": draw(st.sampled_from(["/a", "/b"])),
        "request.headers": draw(
            st.dictionaries(st.sampled_from(["user", "pod-a", "x-user"]), st.sampled_from([*USERS, "1"]))
        ),
        "request.auth.principal": draw(st.sampled_from(["x", None])),
    }
    for absent in draw(st.sets(st.sampled_from(sorted(values)), max_size=2)):
        del values[absent]
    return values


async def answer(checker: Checker, values: dict[str, Any]) -> Any:
    """The answer, or why there is none."""
    try:
        return (await checker.verdict(values)).wire
    except Exception as error:
        return str(error)


def test_the_cache_changes_no_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path) as rig:
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(compared, rig, loop)

    run(work())


def compared(rig: Rig, loop: asyncio.AbstractEventLoop) -> None:
    """Compare two checkers on the same rules, one without a cache."""

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rules(), st.lists(calls(), min_size=5, max_size=25))
    def same(objects: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
        asyncio.run_coroutine_threadsafe(both(rig, objects, asked), loop).result(30)

    same()


async def both(rig: Rig, objects: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    # The same rules twice would be no change, and nothing to wait for.
    await rig.change(*objects, instance(f"change-{next(CHANGES)}", "checknothing"))
    kept, fresh = (
        Checker(rig.policy.following, PolicyMetrics(CollectorRegistry()), time.monotonic, cached=size)
        for size in (1000, 0)
    )
    for values in [*asked, *asked]:
        assert await answer(kept, values) == await answer(fresh, values), values
