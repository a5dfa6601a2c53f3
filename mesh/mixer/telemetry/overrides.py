"""What Telemetry objects make of the metrics that rules count: labels changed or removed, metrics left out.

Source: Istio's reference of Telemetry (`metrics[].overrides[]`). What a narrower object says of a metric or
a label comes after what wider ones say. It holds for the instances of template `metric` that handlers of
adapter `prometheus` get: bills and logs are no metrics. A label's value is an expression of Mixer's
attributes, in which texts may stand in single quotes, as Istio's CEL has them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.api.chosen import Applying, age, among, first
from mesh.api.telemetry.telemetry import Metrics, MetricsOverrides
from mesh.mixer.bag import Bag
from mesh.model import ConfigObject, Labels
from mesh.rules import tags
from mesh.rules.adapter import Instance
from mesh.rules.expressions import Absent, EvaluationError, Expression

METRICS: Mapping[str, str] = {
    "REQUEST_COUNT": "requestcount",
    "REQUEST_DURATION": "requestduration",
    "REQUEST_SIZE": "requestsize",
    "RESPONSE_SIZE": "responsesize",
    "TCP_OPENED_CONNECTIONS": "tcpconnectionsopened",
    "TCP_CLOSED_CONNECTIONS": "tcpconnectionsclosed",
    "TCP_SENT_BYTES": "tcpbytesent",
    "TCP_RECEIVED_BYTES": "tcpbytereceived",
}
"""Istio's name of a metric, and the instance that it is made of."""

EVERY = "ALL_METRICS"
KEPT = 10_000
"""Workloads that are remembered; labels of Pods that come and go are many."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a metric's instances: left out, or some labels (None: removed)."""

    disabled: bool = False
    tags: Mapping[str, Expression | None] = field(default_factory=dict)

    def after(self, override: MetricsOverrides) -> "Change":
        """With one more override."""
        disabled = self.disabled if override.disabled is None else override.disabled
        return replace(self, disabled=disabled, tags={**self.tags, **tags.of(override)})

    def made(self, bag: Bag, instance: Instance) -> Instance | None:
        """The changed instance; None if it is left out."""
        if self.disabled:
            return None
        if not self.tags:
            return instance
        dimensions = dict(instance.values.get("dimensions") or {})
        for name, value in self.tags.items():
            found = None if value is None else evaluated(value, bag)
            if found is None:
                dimensions.pop(name, None)
            else:
                dimensions[name] = found
        return replace(instance, values={**instance.values, "dimensions": dimensions})


UNCHANGED = Change()


class Overrides:
    """The Telemetry objects of a mesh that are about metrics. `root` is the mesh's own namespace."""

    def __init__(self, objects: Iterable[ConfigObject], root: str) -> None:
        self._root = root
        self._objects: dict[str, list[ConfigObject]] = {}
        self.problems: list[str] = []
        for each in sorted(objects, key=age):
            self._objects.setdefault(each.namespace, []).append(each)
            self.problems += map(str, tags.problems(each))
        self._known: dict[tuple[str, Labels, bool], dict[str, Change]] = {}

    def __repr__(self) -> str:
        return f"<Overrides of {sum(map(len, self._objects.values()))} objects>"

    def concerns(self, template: str, adapter: str) -> bool:
        """Whether instances of a template for handlers of an adapter are metrics that a Telemetry means."""
        return tags.is_metric(template, adapter)

    def changed(self, bag: Bag, instance: Instance) -> Instance | None:
        """An instance of a call as the reporting workload's Telemetry wants it; None if it is left out."""
        changes = self._of(bag)
        short = instance.name.partition(".")[0]
        change = changes.get(short)
        if change is None:
            change = changes[short] = self._change(bag, short)
        return change.made(bag, instance)

    def _of(self, bag: Bag) -> dict[str, Change]:
        inbound, namespace, labels = reported_by(bag)
        found = self._known.get((namespace, labels, inbound))
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[namespace, labels, inbound] = {}
        return found

    def _change(self, bag: Bag, metric: str) -> Change:
        inbound, namespace, labels = reported_by(bag)
        change = UNCHANGED
        for each in first(self._applying(namespace, labels), "metrics"):
            for override in overrides_of(each.spec.metrics):
                if is_for(override, metric, inbound=inbound):
                    change = change.after(override)
        return change

    def _applying(self, namespace: str, labels: Labels) -> Applying:
        own = [] if namespace == self._root else self._objects.get(namespace, [])
        return among(self._objects.get(self._root, []), own, namespace, labels)


def overrides(objects: Iterable[ConfigObject], root: str) -> Overrides | None:
    """What the objects make of metrics; None if none says anything of them."""
    about = [each for each in objects if each.spec.metrics]
    return Overrides(about, root) if about else None


def evaluated(value: Expression, bag: Bag) -> Any:
    """A label's value; None if an attribute is absent."""
    try:
        return value.evaluate(bag)
    except (Absent, EvaluationError):
        return None


def overrides_of(metrics: Iterable[Metrics]) -> Iterator[MetricsOverrides]:
    """All overrides that are for this mesh's metrics."""
    for each in metrics:
        if not each.providers or any(provider.name == tags.PROVIDER for provider in each.providers):
            yield from each.overrides


def is_for(override: MetricsOverrides, metric: str, *, inbound: bool) -> bool:
    """Whether an override is for a metric (the name of its instance) of one side."""
    match = override.match
    if match is None:
        return True
    if match.mode == ("CLIENT" if inbound else "SERVER"):
        return False
    if match.custom_metric:
        return match.custom_metric == metric
    return match.metric in {None, EVERY} or METRICS.get(match.metric) == metric


def reported_by(bag: Bag) -> tuple[bool, str, Labels]:
    """Whether the called side reports, and the reporting workload's namespace and labels."""
    inbound = bag.get("context.reporter.kind") == "inbound"
    side = "destination" if inbound else "source"
    labels = bag.get(f"{side}.labels")
    return (
        inbound,
        bag.get(f"{side}.namespace") or "",
        labels if isinstance(labels, Labels) else Labels(labels),
    )
