"""How endpoints are laid out in slices, whatever is there and whatever is wanted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketkube.api.objects import Obj
from pocketkube.controllers.endpoints.backends import Port, Ports
from pocketkube.controllers.endpoints.plan import LARGEST, Plan, head_of, made, plan, ports_in

pytestmark = pytest.mark.behaviour("H1")

SERVICE = {"metadata": {"name": "web", "namespace": "demo", "uid": "u"}, "spec": {"selector": {"app": "web"}}}
HEAD = head_of(SERVICE)
SETS = [(Port("http", "TCP", 80, ""),), (Port("http", "TCP", 81, ""),), ()]


def endpoint(number: int) -> Obj:
    return {"addresses": [f"198.18.1.{number}"], "conditions": {}, "targetRef": {"uid": str(number)}}


def of(numbers: list[int]) -> dict[str, Obj]:
    return {str(number): endpoint(number) for number in numbers}


def stored(entry: Obj, name: str) -> Obj:
    return {**entry, "metadata": {**entry["metadata"], "name": name}}


def applied(present: list[Obj], steps: Plan) -> list[Obj]:
    """The slices after the steps."""
    by_name = {entry["metadata"]["name"]: entry for entry in present}
    by_name |= {entry["metadata"]["name"]: entry for entry in steps.update}
    for entry in steps.delete:
        del by_name[entry["metadata"]["name"]]
    return [*by_name.values(), *(stored(entry, f"new-{i}") for i, entry in enumerate(steps.create))]


def content(entries: list[Obj]) -> list[tuple[Ports, str]]:
    return sorted(
        (ports_in(entry), end["targetRef"]["uid"]) for entry in entries for end in entry["endpoints"]
    )


layouts = st.dictionaries(
    st.sampled_from(SETS), st.lists(st.integers(0, 400), unique=True, max_size=250), max_size=3
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=layouts, after=layouts)
def test_any_change_leads_to_what_is_wanted(
    before: dict[Ports, list[int]], after: dict[Ports, list[int]]
) -> None:
    first = applied([], plan(HEAD, [], {ports: of(numbers) for ports, numbers in before.items()}))
    wanted = {ports: of(numbers) for ports, numbers in after.items()}
    result = applied(first, plan(HEAD, first, wanted))
    assert content(result) == sorted((ports, uid) for ports, found in wanted.items() for uid in found)
    assert all(len(entry["endpoints"]) <= LARGEST for entry in result)
    assert result
    again = plan(HEAD, result, wanted)
    assert not (again.create or again.update or again.delete)


def test_a_new_endpoint_touches_one_slice() -> None:
    full = stored(made(HEAD, SETS[0], [endpoint(n) for n in range(LARGEST)]), "full")
    part = stored(made(HEAD, SETS[0], [endpoint(n) for n in range(100, 120)]), "part")
    steps = plan(HEAD, [full, part], {SETS[0]: of(list(range(121)))})
    assert ([entry["metadata"]["name"] for entry in steps.update], steps.create, steps.delete) == (
        ["part"],
        [],
        [],
    )


def test_one_empty_slice_is_left() -> None:
    full = stored(made(HEAD, SETS[0], [endpoint(n) for n in range(LARGEST)]), "full")
    part = stored(made(HEAD, SETS[0], [endpoint(100)]), "part")
    result = applied([full, part], plan(HEAD, [full, part], {}))
    assert [entry["endpoints"] for entry in result] == [[]]
