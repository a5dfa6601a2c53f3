"""P1, P4: a change of what rules say is put in force; one that says nothing new keeps what there is."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.galley.source.files import FileSource
from mesh.mixer.core import Following
from mesh.mixer.handlers import Surroundings
from mesh.mixer.metrics import HandlerMetrics
from mesh.rules.registry import adapters
from mesh.rules.templates import Variety
from tests.loops import run
from tests.mixer.policy.rig import action, handler, instance, rule, write
from tests.mixer.probe import installed, probes

pytestmark = pytest.mark.behaviour("P1", "P4")

NOTHING = instance("nothing", "checknothing")
RULE = rule("r", actions=[action("asked", "nothing")])


class Changing:
    """A configuration that a test writes anew."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "rules.yaml"
        self.source = FileSource([self._file])
        surroundings = Surroundings(HandlerMetrics(CollectorRegistry()), folder)
        self.following = Following(self.source, adapters(), surroundings, [Variety.CHECK])

    async def take(self, *objects: dict[str, Any]) -> Any:
        """Put objects in force; what is then."""
        write(self._file, *objects)
        self.source.read()
        await self.following.take()
        return self.following.live


def test_what_says_the_same_keeps_what_is_in_force(tmp_path: Path) -> None:
    """Kubernetes tells of an object whenever its status is written; kept answers would go each time."""

    async def work() -> None:
        world = Changing(tmp_path)
        first = await world.take(handler("asked", "probe"), NOTHING, RULE)
        again = {**RULE, "metadata": {**RULE["metadata"], "annotations": {"status": "written"}}}
        assert await world.take(handler("asked", "probe"), NOTHING, again) is first
        assert world.following.generation == 1
        other = {**RULE, "spec": {**RULE["spec"], "match": 'request.path == "/"'}}
        assert await world.take(handler("asked", "probe"), NOTHING, other) is not first
        assert world.following.generation == 2
        (adapter,) = probes("asked.istio-system")
        assert world.following.live.running["asked.istio-system"].adapter is adapter, "it runs on"
        assert await world.take(handler("asked", "probe"), NOTHING) is not first, "a rule is gone"

    with installed(tmp_path):
        run(work())


def test_a_handler_that_could_not_start_is_tried_again_though_nothing_changed(tmp_path: Path) -> None:
    async def work() -> None:
        world = Changing(tmp_path)
        objects = [handler("asked", "probe", start="no"), NOTHING, RULE]
        first = await world.take(*objects)
        assert world.following.handlers.broken
        assert await world.take(*objects) is not first

    with installed(tmp_path):
        run(work())
