"""Quotas: counted by istio-policy; by the proxy where the handler asks for it and the quota is its own."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mixer.policy.rig import action, handler, instance, rule, thing
from tests.pilot.authz.calls import Call
from tests.pilot.mixer.bothways import Rules, both_ways
from tests.pilot.mixer.mixed import Mixed, forecast

pytestmark = pytest.mark.behaviour("P3")
LIMIT, CHECK = "meshwright.mixer.limit", "meshwright.mixer.check"
AMOUNT = 5
MATCH = 'request.headers["x-free"] != "yes"'


def objects(
    match: str = MATCH, *, annotated: bool = True, own: bool = True, algorithm: str = "FIXED_WINDOW"
) -> Iterator[dict[str, Any]]:
    """A quota of an hour for the forecast."""
    quotas = [
        {
            "name": "count.instance.istio-system",
            "maxAmount": AMOUNT,
            "validDuration": "3600s",
            "rateLimitAlgorithm": algorithm,
        }
    ]
    keeper = handler("keeper", "memquota", quotas=quotas)
    if annotated:
        keeper["metadata"]["annotations"] = {"policy.istio.io/compile": "true"}
    yield keeper
    name = "destination.uid" if own else "destination.service.host"
    yield instance("count", "quota", dimensions={"destination": name})
    yield rule("limit", match, [action("keeper", "count")])
    yield thing("QuotaSpec", "all", rules=[{"quotas": [{"quota": "count", "charge": 1}]}])
    yield thing(
        "QuotaSpecBinding",
        "all",
        services=[{"name": "forecast", "namespace": "weather"}],
        quotaSpecs=[{"name": "all"}],
    )


def test_a_quota_is_a_call() -> None:
    assert CHECK in Mixed(*objects(annotated=False)).filters(forecast())


@pytest.mark.parametrize("unfit", [{"own": False}, {"algorithm": "ROLLING_WINDOW"}])
def test_what_the_proxy_cannot_count_is_a_call(unfit: dict[str, Any]) -> None:
    assert CHECK in Mixed(*objects(**unfit)).filters(forecast())


def test_a_service_without_a_binding_takes_from_no_quota() -> None:
    unbound = [each for each in objects() if each["kind"] != "QuotaSpecBinding"]
    assert not Mixed(*unbound).filters(forecast())


def test_the_proxy_counts_its_own() -> None:
    found = Mixed(*objects()).filters(forecast())
    assert LIMIT in found and CHECK not in found


def test_a_burst_is_answered_the_same(tmp_path: Path) -> None:
    """Within a moment of a long window both grant the same number, and refuse with the same words."""
    given = copy.deepcopy(list(objects()))
    with both_ways(Rules(given, 1), 1, tmp_path) as rig:
        calls = [Call(headers={"x-free": "yes" if index % 3 == 0 else "no"}) for index in range(4 * AMOUNT)]
        compiled = [rig.compiled(each) for each in calls]
        before = rig.answered()
        called = [rig.called(each) for each in calls]
        assert (before, rig.answered()) == (0, len(calls))
    assert [(each.status, each.body) for each in compiled] == [(each.status, each.body) for each in called]
    assert sum(each.status == 429 for each in compiled) > AMOUNT
    assert all(int(each.headers["retry-after"]) >= 1 for each in (*compiled, *called) if each.status == 429)
