"""P1: a new adapter is one class, in any package: found by its entry point, used by rules, checked."""

import asyncio
import sys
import time
from collections.abc import Coroutine, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.rules.adapter import CheckResult, Code, Environment, Instance
from mesh.rules.admission import problems_of
from mesh.rules.registry import GROUP, adapters, loaded, unfit
from mesh.rules.resolve import resolve
from tests.rules.adapters import Denier, objects

pytestmark = pytest.mark.behaviour("P1")
GUIDE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
MODULE, RULES = (
    GUIDE.partition(f"```{language}\n")[2].partition("```")[0] for language in ("python", "yaml")
)
ENTRIES = """
[meshwright.adapters]
polite = polite_adapter:Polite
polite-too = polite_adapter:Polite
broken = polite_adapter:Missing
gone = no_such_module:Adapter
stranger = collections:OrderedDict
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """The package of CONTRIBUTING.md, as pip would have installed it."""
    (tmp_path / "polite_adapter.py").write_text(MODULE)
    info = tmp_path / "polite_adapter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polite-adapter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    sys.path.insert(0, str(tmp_path))
    try:
        yield tmp_path
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("polite_adapter", None)


def test_an_adapter_of_another_package_serves_rules(package: Path) -> None:
    found = loaded(entry_points(group=GROUP))
    assert found["polite"].__module__ == "polite_adapter"
    assert "polite-too" in found
    assert not {"broken", "gone", "stranger"} & set(found)
    rules = resolve(objects(RULES), found)
    assert not rules.problems
    (handler,) = rules.handlers.values()
    assert handler.params.model_dump() == {"greeting": "good day"}
    environment = Environment(handler.name, time.time, time.monotonic, nowhere, CollectorRegistry(), package)
    adapter = handler.adapter(handler.params, environment)
    assert asyncio.run(adapter.check(Instance("i", "listentry", {"value": "good day"}))).code == Code.OK
    refused = asyncio.run(adapter.check(Instance("i", "listentry", {"value": "hi"})))
    assert refused == CheckResult(Code.PERMISSION_DENIED, "say good day first")
    (wrong,) = problems_of(objects(RULES.replace("greeting:", "greting:"))[0], found)
    assert (wrong.path, wrong.remedy) == ("spec.params.greting", "did you mean greeting?")


def nowhere(work: Coroutine[Any, Any, None], name: str) -> None:
    """This adapter has nothing to do in the background."""
    raise AssertionError(name)


def test_the_meshs_own_adapters_are_found_by_the_same_way() -> None:
    found = adapters()
    assert adapters() is found
    assert all(found[name].name == name for name in found)


def test_what_is_no_adapter_is_told() -> None:
    assert unfit(Denier) == ""
    assert unfit(dict) == "it is no subclass of mesh.rules.adapter.Adapter"
    assert unfit(type("Odd", (Denier,), {"templates": frozenset({"odd"})})) == "there is no template odd"
