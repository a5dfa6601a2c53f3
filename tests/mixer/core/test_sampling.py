"""Which reports a rule hands on, by its sampling."""

from typing import Any

import pytest

from mesh.api.mixer import Sampling
from mesh.mixer.bag import Bag
from mesh.mixer.sampling import Chosen, chooser
from mesh.rules.vocabulary import ATTRIBUTES

pytestmark = pytest.mark.behaviour("O4")


def made(now: list[float] | None = None, chance: float = 0.5, **sampling: Any) -> Chosen:
    clock = now or [0.0]
    found = chooser(Sampling.model_validate(sampling), ATTRIBUTES, lambda: clock[0], lambda: chance)
    assert found is not None
    return found


def call(request: str, **further: Any) -> Bag:
    return Bag({"request.headers": {"x-request-id": request}, **further})


def test_without_sampling_all_are_handed_on() -> None:
    assert chooser(None, ATTRIBUTES, lambda: 0.0) is None
    assert chooser(Sampling(), ATTRIBUTES, lambda: 0.0) is None


def test_a_share_follows_the_request_so_that_all_choose_the_same() -> None:
    quarter = {"percentSampled": {"numerator": 2500, "denominator": "TEN_THOUSAND"}}
    one, other = made(random=quarter), made(random=quarter)
    chosen = [one(call(f"request-{number}")) for number in range(4000)]
    assert chosen == [other(call(f"request-{number}")) for number in range(4000)]
    assert 900 < sum(chosen) < 1100


@pytest.mark.parametrize(("chance", "chosen"), [(0.09, True), (0.11, False)])
def test_chance_decides_where_it_is_asked_for_or_no_request_is_known(chance: float, chosen: bool) -> None:
    share = {"percentSampled": {"numerator": 10}}
    assert made(chance=chance, random={**share, "useIndependentRandomness": True})(call("a")) is chosen
    assert made(chance=chance, random=share)(Bag({})) is chosen


def test_an_attribute_may_say_the_share() -> None:
    sampled = made(
        chance=0.4, random={"attributeExpression": "response.code", "useIndependentRandomness": True}
    )
    assert sampled(call("a", **{"response.code": 50}))
    assert not sampled(call("a", **{"response.code": 30}))
    assert not sampled(call("a")), "without a number there is none"


def test_so_many_in_a_time_then_one_of_several() -> None:
    now = [0.0]
    limited = made(now, rateLimit={"samplingDuration": "10s", "maxUnsampledEntries": 3, "samplingRate": 2})
    assert [limited(call("a")) for _ in range(7)] == [True, True, True, False, True, False, True]
    now[0] = 10.0
    assert [limited(call("a")) for _ in range(4)] == [True, True, True, False]
