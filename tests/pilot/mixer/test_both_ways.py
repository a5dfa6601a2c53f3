"""Each rule, compiled into a real Envoy and asked of a real istio-policy: the answers are the same."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mixer.policy.rig import action, handler, instance, rule
from tests.pilot.authz.calls import Call
from tests.pilot.mixer.bothways import FIRST, Rig, Rules, both_ways
from tests.pilot.mixer.generate import Made

pytestmark = pytest.mark.behaviour("P4")

PORTS, CALLS, SEED = 24, 8, 20260704


KINDS = ("STRINGS", "CASE_INSENSITIVE_STRINGS", "REGEX")


def lists(seed: int = SEED, ports: int = PORTS) -> Iterator[dict[str, Any]]:
    """A list for each port, white and black by turns, and a random value that is looked for."""
    made = Made(random.Random(seed))
    for index in range(ports):
        kind, name = KINDS[index % 3], f"l{index:03}"
        params: dict[str, Any] = {
            "overrides": made.entries(kind),
            "entryType": kind,
            "blacklist": bool(index % 2),
        }
        yield handler(name, "listchecker", **params)
        yield instance(name, "listentry", value=made.text())
        yield rule(name, f"destination.port == {FIRST + index}", [action(name, name)])


def roles(seed: int = SEED, ports: int = PORTS) -> Iterator[dict[str, Any]]:
    """Roles for each port, and a random subject and action."""
    made = Made(random.Random(seed))
    for index in range(ports):
        name = f"r{index:03}"
        every = [made.role("one"), made.role("other")]
        bindings = [{"subjects": [made.subject(), made.subject()], "role": each} for each in ("one", "other")]
        yield handler(name, "rbac", roles=every, bindings=bindings)
        subject = {"user": "source.principal", "groups": made.text(), "properties": {"a": made.text()}}
        act = {"service": "destination.service.host", "method": "request.method", "path": made.text()}
        yield instance(name, "authorization", subject=subject, action=act)
        yield rule(name, f"destination.port == {FIRST + index}", [action(name, name)])


def generated(seed: int = SEED, ports: int = PORTS) -> Iterator[dict[str, Any]]:
    """A rule for each port, each with a random match."""
    made = Made(random.Random(seed))
    yield handler("deny", "denier", status={"code": 7, "message": "not today"})
    yield instance("nothing", "checknothing")
    for index in range(ports):
        match = f"destination.port == {FIRST + index} && {made.match()}"
        yield rule(f"r{index:03}", match, [action("deny", "nothing")])


MAKERS = {"matches": generated, "lists": lists, "roles": roles}


@pytest.fixture(scope="module", params=MAKERS)
def rules(request: pytest.FixtureRequest) -> Rules:
    return Rules(MAKERS[request.param](), PORTS)


@pytest.fixture(scope="module")
def rig(rules: Rules, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with both_ways(rules, PORTS, tmp_path_factory.mktemp("both")) as running:
        yield running


def test_random_rules_decide_the_same(rig: Rig, rules: Rules) -> None:
    made = Made(random.Random(SEED + 1))
    refused = 0
    for port in range(PORTS):
        for call in [made.call() for _ in range(CALLS)]:
            one, other = rig.compiled(call, port), rig.called(call, port)
            assert same(one, other), (
                f"{about(rules, port)}\n{call}\ncompiled: {one}\ncalled: {other}\n{rig.counted()}"
            )
            refused += one.status != 200
    assert PORTS * CALLS * 0.1 < refused < PORTS * CALLS * 0.9


def test_what_is_compiled_asks_nobody(rig: Rig, rules: Rules) -> None:
    whole = [port for port in range(PORTS) if all(step.reply for step in rules.steps(port))]
    assert len(whole) >= PORTS / 4
    before = rig.answered()
    for port in whole:
        rig.compiled(Call(identity="cluster.local/ns/weather/sa/frontend"), port)
    assert rig.answered() == before


def about(rules: Rules, port: int) -> str:
    """The objects of a port."""
    mine = [each for each in rules.objects if each["metadata"]["name"][1:] == f"{port:03}"]
    return "\n".join(str(each["spec"]) for each in mine)


def same(one: Any, other: Any) -> bool:
    """Whether two answers are the same to a caller."""
    return (one.status, one.body, one.headers.get("content-type")) == (
        other.status,
        other.body,
        other.headers.get("content-type"),
    )


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("maker", MAKERS)
def test_many_random_rules_decide_the_same(maker: str, seed: int, tmp_path: Path) -> None:
    rules = Rules(MAKERS[maker](seed, 150), 150)
    made = Made(random.Random(seed + 1000))
    with both_ways(rules, 150, tmp_path) as rig:
        for port in range(150):
            for call in [made.call() for _ in range(10)]:
                one, other = rig.compiled(call, port), rig.called(call, port)
                assert same(one, other), (
                    f"{about(rules, port)}\n{call}\ncompiled: {one}\ncalled: {other}\n{rig.counted()}"
                )
