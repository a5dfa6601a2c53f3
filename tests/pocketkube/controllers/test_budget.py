"""Disruption budgets say how many Pods may be spared."""

from __future__ import annotations

import pytest

from pocketkube.controllers import conditions
from tests.pocketkube.controllers.stage import deployment, stage
from tests.pocketkube.controllers.virtual import run

pytestmark = pytest.mark.behaviour("H1")

BUDGETS = "poddisruptionbudgets.policy"


@pytest.mark.parametrize(("rule", "wanted"), [({"minAvailable": 2}, 2), ({"maxUnavailable": "25%"}, 3)])
def test_a_budget_counts_the_pods_that_it_protects(rule: dict[str, object], wanted: int) -> None:
    async def play() -> None:
        async with stage() as scene:
            selector = {"matchLabels": {"app": "web"}}
            budget = {"metadata": {"name": "web"}, "spec": {"selector": selector, **rule}}
            await scene.create(BUDGETS, budget)
            await scene.create("deployments.apps", deployment("web", 4))
            status = scene.get(BUDGETS, "web")["status"]
            assert (status["expectedPods"], status["currentHealthy"]) == (4, 4)
            assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (wanted, 4 - wanted)
            assert conditions.is_true(status["conditions"], "DisruptionAllowed")

            for weak in scene.pods()[: 4 - wanted]:
                await scene.make_ready(weak, ready=False)
            await scene.settled()
            status = scene.get(BUDGETS, "web")["status"]
            assert (status["currentHealthy"], status["disruptionsAllowed"]) == (wanted, 0)
            assert not conditions.is_true(status["conditions"], "DisruptionAllowed")

    run(play())
