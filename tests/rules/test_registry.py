"""P1: a new adapter is one class, in any package: found by its entry point, used by rules, checked."""

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mesh.rules.admission import problems_of
from mesh.rules.registry import GROUP, adapters, loaded, unfit
from mesh.rules.resolve import resolve
from tests.rules.adapters import Denier, objects

pytestmark = pytest.mark.behaviour("P1")
MODULE = """
from mesh.api.base import Model
from mesh.rules.adapter import Adapter, CheckResult, Code, Instance


class Params(Model):
    greeting: str = "hello"


class Polite(Adapter[Params]):
    name = "polite"
    templates = frozenset({"listentry"})
    Params = Params

    async def check(self, instance: Instance) -> CheckResult:
        said = instance.values["value"] == self.params.greeting
        return CheckResult() if said else CheckResult(Code.PERMISSION_DENIED, "say hello first")
"""
ENTRIES = """
[meshwright.adapters]
polite = polite_adapter:Polite
polite-too = polite_adapter:Polite
broken = polite_adapter:Missing
gone = no_such_module:Adapter
stranger = collections:OrderedDict
"""
RULE = """
kind: handler
metadata: {name: greeted}
spec: {compiledAdapter: polite, params: {greeting: good day}}
---
kind: listentry
metadata: {name: word}
spec: {value: 'request.headers["x-word"] | ""'}
---
kind: rule
metadata: {name: greet}
spec: {actions: [{handler: greeted, instances: [word.listentry]}]}
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """Another package, as pip would have installed it."""
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
    rules = resolve(objects(RULE), found)
    assert not rules.problems
    (handler,) = rules.handlers.values()
    assert handler.params.model_dump() == {"greeting": "good day"}
    (wrong,) = problems_of(objects(RULE.replace("greeting:", "greting:"))[0], found)
    assert (wrong.path, wrong.remedy) == ("spec.params.greting", "did you mean greeting?")


def test_the_meshs_own_adapters_are_found_by_the_same_way() -> None:
    found = adapters()
    assert adapters() is found
    assert all(found[name].name == name for name in found)


def test_what_is_no_adapter_is_told() -> None:
    assert unfit(Denier) == ""
    assert unfit(dict) == "it is no subclass of mesh.rules.adapter.Adapter"
    assert unfit(type("Odd", (Denier,), {"templates": frozenset({"odd"})})) == "there is no template odd"
