"""Each rule, compiled into a real Envoy and asked of a real istio-policy: the answers are the same."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mixer.policy.rig import action, handler, instance, rule
from tests.pilot.authz.calls import Call
from tests.pilot.mixer.bothways import FIRST, Rig, Rules, both_ways
from tests.pilot.mixer.generate import Made

pytestmark = pytest.mark.behaviour("P4")

PORTS, CALLS, SEED = 40, 12, 20260704


def generated(seed: int = SEED, ports: int = PORTS) -> Iterator[dict[str, Any]]:
    """A rule for each port, each with a random match."""
    made = Made(random.Random(seed))
    yield handler("deny", "denier", status={"code": 7, "message": "not today"})
    yield instance("nothing", "checknothing")
    for index in range(ports):
        match = f"destination.port == {FIRST + index} && {made.match()}"
        yield rule(f"r{index:03}", match, [action("deny", "nothing")])


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(generated(), PORTS)


@pytest.fixture(scope="module")
def rig(rules: Rules, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with both_ways(rules, PORTS, tmp_path_factory.mktemp("both")) as running:
        yield running


def test_random_matches_decide_the_same(rig: Rig, rules: Rules) -> None:
    made = Made(random.Random(SEED + 1))
    refused = 0
    for port in range(PORTS):
        for call in [made.call() for _ in range(CALLS)]:
            one, other = rig.compiled(call, port), rig.called(call, port)
            match = rules.objects[port + 2]["spec"]["match"]
            assert same(one, other), f"{match}\n{call}\ncompiled: {one}\ncalled: {other}"
            refused += one.status == 403
    assert PORTS * CALLS * 0.1 < refused < PORTS * CALLS * 0.9


def test_what_is_compiled_asks_nobody(rig: Rig, rules: Rules) -> None:
    whole = [port for port in range(PORTS) if all(step.reply for step in rules.steps(port))]
    assert len(whole) > PORTS / 2
    before = rig.answered()
    for port in whole:
        rig.compiled(Call(identity="cluster.local/ns/weather/sa/frontend"), port)
    assert rig.answered() == before


def same(one: Any, other: Any) -> bool:
    """Whether two answers are the same to a caller."""
    return (one.status, one.body, one.headers.get("content-type")) == (
        other.status,
        other.body,
        other.headers.get("content-type"),
    )
