"""Reports by rules: which handlers get which instances, those of one template together."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.galley.source.files import FileSource
from mesh.mixer.core import Following
from mesh.mixer.handlers import Surroundings
from mesh.mixer.metrics import HandlerMetrics
from mesh.rules.templates import Variety
from tests.loops import run
from tests.mixer.policy.rig import action, handler, instance, rule, write
from tests.mixer.probe import Probe, installed, probes

pytestmark = pytest.mark.behaviour("O4", "W7")


async def following(folder: Path, *objects: dict[str, Any]) -> tuple[Following, CollectorRegistry]:
    from mesh.rules.registry import adapters

    write(folder / "rules.yaml", *objects)
    source = FileSource([folder / "rules.yaml"])
    source.read()
    registry = CollectorRegistry()
    found = Following(source, adapters(), Surroundings(HandlerMetrics(registry), folder), [Variety.REPORT])
    await found.take()
    return found, registry


SEEN = instance("seen", "metric", value="1", dimensions={"path": "request.path", "user": 'source.user | "?"'})
CALLS = [({"request.path": f"/{number}"}, "weather") for number in range(5)]


def test_each_rule_that_matches_hands_on_its_instances(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            handler("all", "probe"), handler("some", "probe"), SEEN, instance("nothing", "reportnothing"),
            rule("a", actions=[action("all", "seen", "nothing")]),
            rule("b", 'request.path == "/3"', [action("some", "seen")]),
        ]  # fmt: skip
        found, _ = await following(tmp_path, *objects)
        assert found.live.report(CALLS) == 5 + 5 + 1
        (every,), (some,) = probes("all.istio-system"), probes("some.istio-system")
        assert [each.template for each in every.reported] == ["metric"] * 5 + ["reportnothing"] * 5
        assert [each.values["dimensions"]["path"] for each in some.reported] == ["/3"]

    with installed(tmp_path):
        run(work())


def test_a_handler_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    async def work() -> None:
        objects = [
            handler("bad", "probe", raises="boom"), handler("gone", "probe", start="no"),
            handler("good", "probe"), SEEN,
            rule("a", actions=[action(each, "seen") for each in ("bad", "gone", "good")]),
        ]  # fmt: skip
        found, registry = await following(tmp_path, *objects)
        assert found.live.report(CALLS) == 5
        assert len(probes("good.istio-system")[0].reported) == 5
        for name in ("bad", "gone"):
            labels = {"handler": f"{name}.istio-system", "adapter": "probe" if name == "bad" else "none"}
            assert registry.get_sample_value("mixer_dispatch_errors_total", labels) == 5

    with installed(tmp_path):
        run(work())


def test_a_rule_hands_on_what_its_sampling_chooses(tmp_path: Path) -> None:
    async def work() -> None:
        limit = {"rateLimit": {"samplingDuration": "1h", "maxUnsampledEntries": 2, "samplingRate": 1000}}
        objects = [handler("all", "probe"), SEEN, rule("a", actions=[action("all", "seen")], sampling=limit)]
        found, _ = await following(tmp_path, *objects)
        assert found.live.report(CALLS) == 2
        assert len(Probe.all[0].reported) == 2

    with installed(tmp_path):
        run(work())
