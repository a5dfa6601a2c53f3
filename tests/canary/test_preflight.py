"""H4: what is looked at before a rollout begins, on a real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadtests.canary.errors import CanaryError
from loadtests.canary.preflight import check, doubts
from loadtests.canary.rollout import Rollout, load_text
from mesh.api.crds import crd
from mesh.api.kinds import BY_KIND
from pytest_mesh.kube import Api
from tests.canary.test_rollout import GOOD
from tests.canary.test_route import RULE
from tests.pocketkube.api.rig import Served

pytestmark = pytest.mark.behaviour("H4")


def rollout(**more: str) -> Rollout:
    text = GOOD
    for old, new in more.items():
        text = text.replace(old, new)
    return load_text(text)


@pytest.fixture(scope="module")
def api(served: Served) -> Iterator[Api]:
    """An API server that knows DestinationRules, and has one for forecast with v1 and v2."""
    connection = Api(served.kubeconfig)
    connection.create(crd(BY_KIND["DestinationRule"]))
    connection.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weather"}})
    connection.create(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"namespace": "weather", "name": "forecast"},
            "spec": {
                "host": "forecast",
                "subsets": [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")],
            },
        }
    )
    yield connection
    connection.close()


def test_subsets_that_are_there(api: Api) -> None:
    check(api, rollout(), RULE)


def test_a_canary_that_nobody_defines_gets_no_request(api: Api) -> None:
    with pytest.raises(CanaryError) as caught:
        check(api, rollout(**{"subset: v2": "subset: v3"}), RULE)
    assert "spec.canary.subset: no DestinationRule defines subset 'v3' of host" in str(caught.value)
    assert "there are v1, v2" in str(caught.value)
    assert caught.value.remedy


def test_a_host_without_subsets(api: Api) -> None:
    with pytest.raises(CanaryError, match="there are none"):
        check(api, rollout(**{"{subset: v2}": "{subset: v2, host: nowhere}"}), RULE)


def words(spec: dict[str, Any], load: str = "") -> str:
    return " ".join(doubts(rollout(**{"constant:100": f"constant:100\n{load}"}), spec))


def test_a_load_that_seems_to_miss_the_rule() -> None:
    inside = {"hosts": ["forecast"]}
    assert "no gateways" in words(inside)
    assert "asks for host a.b, and the rule is for forecast" in words(inside, "    headers: {Host: a.b}")
    both = {"hosts": ["forecast", "*.b"], "gateways": ["mesh", "weather"]}
    assert not words(both, "    headers: {host: 'a.b:80'}")
    assert not words(inside, "    label: json:version\n    baseline: v1\n    canary: v2")
