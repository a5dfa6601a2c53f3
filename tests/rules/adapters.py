"""Adapters of these tests' own, as another package would write them, and objects for them."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import yaml
from pydantic import Field

from mesh.api.base import Duration, Model
from mesh.api.checks import Fault, check
from mesh.api.parse import parse_object
from mesh.model import ConfigObject
from mesh.rules.adapter import Adapter, CheckResult, Code, Instance, QuotaResult
from mesh.rules.resolve import Ruleset, resolve


class Status(Model):
    code: int = Field(7, ge=1, le=16)
    message: str = ""


class Refusal(Model):
    status: Status = Status(code=7)
    valid_duration: Duration = 5.0


class Denier(Adapter[Refusal]):
    name = "denier"
    templates = frozenset({"checknothing", "listentry", "quota"})
    Params = Refusal

    async def check(self, instance: Instance) -> CheckResult:
        return CheckResult(Code(self.params.status.code), self.params.status.message)

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        return QuotaResult(0)


class Labels(Model):
    labels: tuple[str, ...] = ()

    @check
    def _some(self) -> Iterator[Fault]:
        if not self.labels:
            yield Fault("labels", "is empty", "name a label")


class Counter(Adapter[Labels]):
    """Counts metrics, and wants each instance's dimensions to be its labels."""

    name = "counter"
    templates: ClassVar[frozenset[str]] = frozenset({"metric", "logentry"})
    Params = Labels

    @classmethod
    def faults(cls, params: Labels, types: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
        for name, fields in types.items():
            if set(fields.get("dimensions", ())) != set(params.labels):
                yield Fault("labels", f"are not the dimensions of {name}", "name them alike")


ADAPTERS: Mapping[str, type[Adapter[Any]]] = {"denier": Denier, "counter": Counter}


def objects(text: str) -> list[ConfigObject]:
    """The objects of a text; the namespace is `weather` where none is given."""
    found = []
    for each in yaml.safe_load_all(text):
        metadata = {"namespace": "weather", **each["metadata"]}
        found.append(parse_object({"apiVersion": "config.istio.io/v1alpha2", **each, "metadata": metadata}))
    return found


def ruleset(text: str) -> Ruleset:
    """The objects of a text put together."""
    return resolve(objects(text), ADAPTERS)


__all__ = ["ADAPTERS", "Counter", "Denier", "objects", "ruleset"]
