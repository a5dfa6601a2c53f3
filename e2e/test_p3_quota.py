"""P3, W8: frontend's calls of forecast are limited to a rate; budgets are exact, and shared in Redis."""

from collections import Counter

import pytest

from e2e.mixer import Mixer, handler, instance, mixer_object, rule
from mesh.platform.mixer import POLICY
from pytest_mesh import Responses, all_ok, eventually, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = [pytest.mark.behaviour("P3", "W8"), pytest.mark.usefixtures("fresh_connections", "steady")]
LIMIT = 10
DIMENSIONS = {"user": 'request.headers["end-user"] | "nobody"'}


def quota(
    name: str,
    service: str,
    amount: int,
    seconds: int,
    *,
    charge: int = 1,
    match: Obj | None = None,
    **more: Obj,
) -> list[Obj]:
    """A budget for each end-user of a service, in memory."""
    budget = {"name": f"{name}.instance.weather", "maxAmount": amount, "validDuration": f"{seconds}s"}
    spec: Obj = {"quotas": [{"charge": charge, "quota": name}]}
    if match:
        spec["match"] = [{"clause": match}]
    return [
        handler(name, "memquota", quotas=[budget]),
        instance(name, "quota", dimensions=DIMENSIONS),
        rule(name, "", (name, name)),
        mixer_object("QuotaSpec", name, rules=[spec]),
        mixer_object(
            "QuotaSpecBinding", name,
            quotaSpecs=[{"name": name, "namespace": "weather"}],
            services=[{"name": service, "namespace": "weather"}],
        ),
    ]  # fmt: skip


def granted(responses: Responses) -> Counter[int]:
    return Counter(response.status for response in responses)


def of_frontend(weather: Weather, count: int) -> tuple[int, int]:
    """How many of so many calls of frontend forecast answered, and how many were refused with 429."""
    responses = weather.outside.get("/api/weather", count=count, concurrency=4)
    refused = [r for r in responses if not r.ok]
    wrong = [r for r in refused if "forecast answered 429: RESOURCE_EXHAUSTED" not in r.body]
    assert not wrong, str(wrong[0])
    return len(responses) - len(refused), len(refused)


def test_frontend_is_limited_and_others_are_not(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(weather.rule("mixer/limit-memory"))
    assert of_frontend(weather, 2 * LIMIT) == (LIMIT, LIMIT)
    weather.client.get(weather.forecast, count=2 * LIMIT).check(all_ok())


def test_a_budget_in_redis_is_shared_by_all_replicas(weather: Weather, mixer: Mixer, backends: None) -> None:
    mesh = weather.mesh
    mesh.pod("backends", app="redis").run("redis", "redis-cli", "flushall")
    mesh.scale("istio-system", POLICY, 2)
    mixer.apply(weather.rule("mixer/limit-redis"))
    before = [checks(mixer, pod.name) for pod in mixer.pods(POLICY)]
    assert len(before) == 2
    assert of_frontend(weather, 3 * LIMIT) == (LIMIT, 2 * LIMIT)
    weather.client.get(weather.forecast, count=60, concurrency=4).check(all_ok())
    asked = [checks(mixer, pod.name) for pod in mixer.pods(POLICY)]
    assert sum(asked) >= sum(before) + 3 * LIMIT


def checks(mixer: Mixer, name: str) -> float:
    """How many calls one replica has answered."""
    (pod,) = [pod for pod in mixer.pods(POLICY) if pod.name == name]
    lines = [line for line in mixer.get(pod, "/metrics").splitlines() if "checks_total" in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#"))


def test_a_refusal_says_why_and_when_to_come_again(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(quota("two-a-minute", "forecast", 2, 60))
    responses = weather.client.get(weather.forecast, count=3)
    assert [response.status for response in responses] == [200, 200, 429]
    assert responses[2].body.startswith("RESOURCE_EXHAUSTED:")
    assert 1 <= int(responses[2].headers["retry-after"]) <= 70


def test_each_value_of_a_dimension_has_a_budget_of_its_own(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(quota("by-user", "forecast", 3, 60))
    for user in ("ann", "bob"):
        responses = weather.client.get(weather.forecast, headers={"end-user": user}, count=5)
        assert granted(responses) == {200: 3, 429: 2}


def test_it_is_exact_under_concurrency(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(quota("exact", "forecast", 50, 600))
    responses = weather.client.get(weather.forecast, count=200, concurrency=32)
    assert granted(responses) == {200: 50, 429: 150}


def test_a_window_ends(weather: Weather, mixer: Mixer) -> None:
    mixer.apply(quota("short", "forecast", 1, 1))
    responses = weather.client.get(weather.forecast, count=10)
    assert 1 <= granted(responses)[200] < 10
    eventually(lambda: weather.client.get(weather.forecast)[0].ok, 5)


def test_a_clause_chooses_requests_and_a_charge_is_what_they_cost(weather: Weather, mixer: Mixer) -> None:
    clause: Obj = {"request.path": {"prefix": "/weather"}}
    mixer.apply(quota("dear", "forecast", 10, 600, charge=4, match=clause))
    assert granted(weather.client.get(weather.forecast, count=4)) == {200: 2, 429: 2}
    weather.client.get("http://forecast:3002/elsewhere", count=4).check(status(404))
