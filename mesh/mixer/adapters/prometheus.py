"""`prometheus`: metrics that Prometheus scrapes from istio-telemetry (port 42422).

Source: Istio 1.6's reference of the adapter. A metric goes on counting through changes of the handler that
leave it as it is. `maxSeries` is this mesh's own: what goes beyond is dropped and counted, so that a label
with endless values cannot take all memory. Durations are written in seconds, or in milliseconds if the
metric's name ends with `_milliseconds`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import CollectorRegistry, Counter
from pydantic import Field

from mesh.api.base import Model, PositiveDuration, at_most_one
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.families import Definition, Family, Kind, Labels, Values
from mesh.mixer.adapters.values import text
from mesh.rules.adapter import Adapter, Environment, Instance
from mesh.rules.types import ValueType

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
USUAL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Where nothing is said of buckets, as Prometheus' own libraries have them."""

MILLISECONDS = "_milliseconds"
NUMBERS = frozenset(
    {ValueType.INT64, ValueType.DOUBLE, ValueType.DURATION, ValueType.TIMESTAMP, ValueType.BOOL}
)
Types = Mapping[str, Mapping[str, ValueType | Mapping[str, ValueType]]]
Count = Annotated[int, Field(ge=1, le=1000)]

log = structlog.get_logger(component="mixer")


class Explicit(Model):
    """Upper bounds, one by one."""

    bounds: tuple[float, ...]

    def found(self) -> tuple[float, ...]:
        """The upper bounds."""
        return self.bounds


class Linear(Model):
    """Bounds at equal distances."""

    num_finite_buckets: Count
    width: Annotated[float, Field(gt=0)]
    offset: float = 0.0

    def found(self) -> tuple[float, ...]:
        """The upper bounds."""
        return tuple(self.offset + self.width * each for each in range(self.num_finite_buckets + 1))


class Exponential(Model):
    """Bounds, each a factor above the one before."""

    num_finite_buckets: Count
    growth_factor: Annotated[float, Field(gt=1)]
    scale: Annotated[float, Field(gt=0)]

    def found(self) -> tuple[float, ...]:
        """The upper bounds."""
        return tuple(self.scale * self.growth_factor**each for each in range(self.num_finite_buckets + 1))


class Buckets(Model):
    """How a distribution is divided."""

    linear_buckets: Linear | None = None
    exponential_buckets: Exponential | None = None
    explicit_buckets: Explicit | None = None

    @check
    def _one(self) -> Iterator[Fault]:
        at_most_one(self, "linear_buckets", "exponential_buckets", "explicit_buckets")
        bounds = self.found()
        if list(bounds) != sorted(set(bounds)):
            yield Fault("", f"has bounds that do not ascend: {bounds}", "write each once, the smallest first")

    def found(self) -> tuple[float, ...]:
        """The upper bounds."""
        chosen = self.linear_buckets or self.exponential_buckets or self.explicit_buckets
        return chosen.found() if chosen else USUAL_BUCKETS


class Metric(Model):
    """A metric that is made of an instance."""

    name: str
    instance_name: str
    kind: Kind = "GAUGE"
    description: str = ""
    label_names: tuple[str, ...] = ()
    buckets: Buckets = Buckets()
    namespace: str = "istio"

    @check
    def _names(self) -> Iterator[Fault]:
        if not NAME.fullmatch(self.full_name()):
            yield Fault(
                "name", f"makes {self.full_name()!r}, no name of Prometheus'", "use letters, digits, _"
            )
        for each in self.label_names:
            if not LABEL.fullmatch(each) or each.startswith("__") or each == "le":
                yield Fault("labelNames", f"{each!r} cannot be a label", "use letters, digits and _; not le")

    def full_name(self) -> str:
        """The name with the namespace before it."""
        return f"{self.namespace}_{self.name}" if self.namespace else self.name

    def definition(self) -> Definition:
        """The family."""
        buckets = self.buckets.found() if self.kind == "DISTRIBUTION" else ()
        return Definition(self.full_name(), self.kind, self.label_names, buckets, self.description)


class Expiry(Model):
    """When series go that nobody writes to; how often to look."""

    metrics_expiry_duration: PositiveDuration = 600.0
    expiry_check_interval_duration: PositiveDuration | None = None


class PrometheusParams(Model):
    """The metrics, when idle series expire (never, if nothing is said), and how many a metric may have."""

    metrics: tuple[Metric, ...] = ()
    metrics_expiration_policy: Expiry | None = None
    max_series: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000

    @check
    def _once(self) -> Iterator[Fault]:
        names = [each.full_name() for each in self.metrics]
        for name in sorted({each for each in names if names.count(each) > 1}):
            yield Fault("metrics", f"{name} stands there twice", "give each its own name")


@dataclass(slots=True)
class Shelf:
    """The families of one handler, which outlive a change of it; `owner` is the adapter in use."""

    families: dict[str, Family] = field(default_factory=dict)
    owner: object = None


class Store:
    """All handlers' families in a process, and what this adapter counts of itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ["handler", "metric"]
        self.shelves: dict[str, Shelf] = {}
        self.dropped = Counter(
            "mixer_prometheus_dropped", "Values of series beyond maxSeries", names, registry=registry
        )
        self.expired = Counter("mixer_prometheus_expired", "Series that were idle", names, registry=registry)
        self.unread = Counter(
            "mixer_prometheus_unread", "Values that are no numbers", names, registry=registry
        )


_STORES: WeakKeyDictionary[CollectorRegistry, Store] = WeakKeyDictionary()


def store(registry: CollectorRegistry) -> Store:
    """The store of a process, by its own registry of metrics."""
    found = _STORES.get(registry)
    if found is None:
        found = _STORES[registry] = Store(registry)
    return found


@dataclass(slots=True)
class Sink:
    """Where the values of an instance go."""

    family: Family
    labels: Labels
    factor: float
    declared: frozenset[str]
    dropped: Callable[[], None]
    unread: Callable[[], None]
    told: bool = False


class Prometheus(Adapter[PrometheusParams]):
    """Counts in memory, on the event loop."""

    name: ClassVar[str] = "prometheus"
    templates: ClassVar[frozenset[str]] = frozenset({"metric"})
    Params = PrometheusParams

    def __init__(self, params: PrometheusParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._store = store(environment.metrics)
        self._sinks: dict[str, list[Sink]] = {}
        self._shelf = Shelf()

    @classmethod
    def faults(cls, params: PrometheusParams, types: Types) -> Iterator[Fault]:
        """Labels that no dimension gives, and values that are no numbers."""
        for index, metric in enumerate(params.metrics):
            for name in of_instance(metric.instance_name, types):
                yield from misfits(f"metrics[{index}]", metric, name, types[name])

    async def start(self) -> None:
        """Take over what the handler has counted so far, as far as the metrics are the same."""
        self._shelf = self._store.shelves.setdefault(self.environment.handler, Shelf())
        before = self._shelf.families
        wanted = {each.full_name(): each.definition() for each in self.params.metrics}
        self._shelf.families = {
            name: before[name]
            if name in before and before[name].definition == definition
            else Family(definition, self.environment.monotonic)
            for name, definition in wanted.items()
        }
        self._shelf.owner = self
        for metric in self.params.metrics:
            for name in of_instance(metric.instance_name, self.environment.types):
                self._sinks.setdefault(name, []).append(self._sink(metric, name))

    async def close(self) -> None:
        """Forget all, unless another took over."""
        if self._shelf.owner is self:
            self._store.shelves.pop(self.environment.handler, None)

    def report(self, instances: Sequence[Instance]) -> None:
        """Count."""
        for instance in instances:
            for sink in self._sinks.get(instance.name, ()):
                self._write(sink, instance.values)

    def exposition(self) -> str:
        """All metrics in Prometheus' text format."""
        self._expire()
        return "".join(line for family in self._shelf.families.values() for line in family.lines())

    def _write(self, sink: Sink, values: Mapping[str, Any]) -> None:
        value = numeric(values.get("value"), sink.factor)
        if value is None:
            sink.unread()
            return
        dimensions = values.get("dimensions") or {}
        labels: Values = tuple([text(dimensions.get(name, "")) for name in sink.labels])
        if not dimensions.keys() <= sink.declared:
            labels += further(dimensions, sink)
        if sink.family.write(labels, value, self.params.max_series):
            return
        self._expire()
        if sink.family.write(labels, value, self.params.max_series):
            return
        sink.dropped()
        if not sink.told:
            sink.told = True
            handler, most = self.environment.handler, self.params.max_series
            words = "a metric has too many series; further ones are dropped"
            log.warning(words, handler=handler, metric=sink.family.definition.name, most=most)

    def _expire(self) -> None:
        policy = self.params.metrics_expiration_policy
        if policy is None:
            return
        for name, family in self._shelf.families.items():
            gone = family.expire(policy.metrics_expiry_duration)
            if gone:
                self._store.expired.labels(self.environment.handler, name).inc(gone)

    def _sink(self, metric: Metric, instance: str) -> Sink:
        name, handler = metric.full_name(), self.environment.handler
        dimensions = self.environment.types[instance].get("dimensions") or {}
        return Sink(
            self._shelf.families[name],
            metric.label_names,
            1000.0 if name.endswith(MILLISECONDS) else 1.0,
            frozenset(dimensions) if isinstance(dimensions, Mapping) else frozenset(),
            self._store.dropped.labels(handler, name).inc,
            self._store.unread.labels(handler, name).inc,
        )


def further(dimensions: Mapping[str, Any], sink: Sink) -> tuple[tuple[str, str], ...]:
    """Labels beyond those of the instance: what a Telemetry adds to calls."""
    names = sorted(name for name in dimensions if name not in sink.declared)
    return tuple((name, text(dimensions[name])) for name in names if LABEL.fullmatch(name))


def of_instance(name: str, types: Types) -> Iterator[str]:
    """The full names of instances that a metric means by a name: a full one, an older one, or a short one."""
    first, _, rest = name.partition(".")
    kind, _, namespace = rest.rpartition(".")
    for each in types:
        own, _, further = each.partition(".")
        same = own == first and namespace == further.rpartition(".")[2]
        if each == name or (same and kind in {"instance", "metric", ""}) or (own == name):
            yield each


def misfits(
    path: str, metric: Metric, instance: str, types: Mapping[str, ValueType | Mapping[str, ValueType]]
) -> Iterator[Fault]:
    """What of an instance does not fit a metric."""
    dimensions = types.get("dimensions") or {}
    for label in metric.label_names:
        if isinstance(dimensions, Mapping) and label not in dimensions:
            there = ", ".join(sorted(dimensions)) or "none"
            words = f"{label!r} is no dimension of instance {instance}"
            yield Fault(f"{path}.labelNames", words, f"its dimensions are: {there}")
    value = types.get("value")
    if isinstance(value, ValueType) and value not in NUMBERS:
        words = f"instance {instance} has a value of type {value}, which is no number"
        yield Fault(f"{path}.instanceName", words, "write an expression of type INT64, DOUBLE or DURATION")


def numeric(value: Any, factor: float) -> float | None:
    """A value as a number; durations in seconds, times `factor`. None if it is none."""
    if isinstance(value, timedelta):
        return value.total_seconds() * factor
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else None
