"""W4: the caller's Envoy picks the instance by the policy that Pilot sent."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from e2e.helpers import destination_rule, mood
from pytest_mesh import Responses, all_ok, assert_split, hosts
from pytest_mesh.demo import Weather
from pytest_mesh.pods import Pod
from pytest_mesh.splits import ERROR_RATE, binomial_p_value

pytestmark = pytest.mark.behaviour("W4")
PODS = 4


@pytest.fixture(scope="module")
def four(weather: Weather) -> Iterator[Weather]:
    """forecast with four Pods: three of v1, one of v2."""
    with weather.mesh.undoing():
        weather.mesh.scale("weather", "forecast-v1", PODS - 1)
        yield weather


def ask(weather: Weather, **plan: object) -> Responses:
    return weather.client.get(weather.forecast, **plan).check(all_ok())


def test_round_robin_takes_every_pod_in_turn(four: Weather) -> None:
    four.mesh.apply(destination_rule(loadBalancer={"simple": "ROUND_ROBIN"}))
    responses = ask(four, count=10 * PODS)  # one kept connection: one worker of Envoy, one turn order
    assert list(responses.hosts.values()) == [10] * PODS
    order = [response.host for response in responses]
    assert order == order[:PODS] * 10


def test_random_has_the_right_shares_and_no_turn_order(four: Weather) -> None:
    four.mesh.apply(destination_rule(loadBalancer={"simple": "RANDOM"}))
    responses = ask(four, count=400)
    assert_split(responses.hosts, dict.fromkeys(responses.hosts, 1))
    responses.check(hosts(PODS))
    repeats = sum(a.host == b.host for a, b in pairwise(responses))
    assert binomial_p_value(repeats, len(responses) - 1, 1 / PODS) > ERROR_RATE


def test_least_request_spares_the_pod_that_is_busy(four: Weather) -> None:
    four.mesh.apply(destination_rule(loadBalancer={"simple": "LEAST_REQUEST"}))
    slow = four.pod("forecast", "v2")
    share = _share_of(slow, four)
    assert share[0] < share[1] / PODS
    assert binomial_p_value(*share, 1 / PODS) < ERROR_RATE, f"{share} is what chance alone would give"


def test_random_does_not_spare_it(four: Weather) -> None:
    four.mesh.apply(destination_rule(loadBalancer={"simple": "RANDOM"}))
    assert binomial_p_value(*_share_of(four.pod("forecast", "v2"), four), 1 / PODS) > ERROR_RATE


def _share_of(slow: Pod, weather: Weather) -> tuple[int, int]:
    """Of requests, eight at a time, those that a Pod gets that takes long over each; and all."""
    with mood(slow, 3002, delay=0.15):
        responses = ask(weather, count=240, concurrency=8)
    return responses.hosts[slow.name], len(responses)


def test_consistent_hash_sends_the_same_header_to_the_same_pod(four: Weather) -> None:
    four.mesh.apply(four.rule("balance-hash-by-header"))
    seen: Counter[str] = Counter()
    for number in range(12):
        responses = ask(four, headers={"end-user": f"user-{number}"}, count=5, keep_alive=False)
        responses.check(hosts(1))
        seen[responses[0].host] += 1
    assert len(seen) > 1, "twelve users all met the same Pod"


def test_the_hash_survives_another_rules_coming_and_going(four: Weather) -> None:
    four.mesh.apply(four.rule("balance-hash-by-header"))
    user = {"end-user": "constant"}
    before = ask(four, headers=user)[0].host
    with four.mesh.applied(four.rule("canary-90-10")):
        pass
    assert ask(four, headers=user, count=5)[0].host == before
