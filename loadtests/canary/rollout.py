"""The rollout file: what is rolled out, under which load, in which steps, and what is good enough.

One YAML object of kind `Rollout`, checked as strictly as the mesh's own configuration is: unknown fields are
refused, and every fault is told with its path and line. It is a file for `meshctl`; no cluster stores it.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from loadtests.openloop.schedule import ScheduleError, parsed
from mesh.api.base import Duration, HeaderName, Model, PositiveDuration, Whole
from mesh.api.checks import Fault, check
from mesh.api.documents import read
from mesh.api.errors import ConfigError, Problem
from mesh.api.load import located
from mesh.api.parse import checked, metadata_of, shown
from mesh.model import ObjectKey

API_VERSION = "canary.meshwright.io/v1alpha1"
KIND = "Rollout"
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""An object's, as Kubernetes has it (RFC 1123); reports are called by it."""
Rate = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[Whole, Field(ge=0, le=100)]


class Version(Model):
    """A destination of the VirtualService: a subset, and its host if the rule has several."""

    subset: Annotated[str, Field(min_length=1)]
    host: str = ""


class Entrance(Model):
    """A LoadBalancer Service by which this machine reaches the mesh."""

    namespace: str = "istio-system"
    name: str = "istio-ingressgateway"
    port: Whole = 80


class Load(Model):
    """The requests: `schedule` as `constant:RATE`, `poisson:RATE`, `ramp:FIRST,LAST`, `step:RATE,...`.

    They go to `url`, or to `path` at the `entrance`. Who answered is told by a response header that the
    rollout adds to the rule; where that does not reach the client, `label` says what else does, and
    `baseline` and `canary` its values.
    """

    schedule: str
    path: str = "/"
    url: str = ""
    entrance: Entrance = Entrance()
    headers: Mapping[HeaderName, str] = Field(default_factory=dict)
    label: str = ""
    baseline: str = ""
    canary: str = ""
    workers: Annotated[Whole, Field(ge=1)] = 500
    timeout: PositiveDuration = 10.0

    @check
    def schedule_and_label(self) -> Iterator[Fault]:
        """A schedule that there is; a label with its values."""
        try:
            parsed(self.schedule, 1.0, 1)
        except ScheduleError as error:
            yield Fault("schedule", str(error))
        if not self.path.startswith("/"):
            yield Fault("path", f"{self.path!r} is none", f"write path: /{self.path}")
        if self.url and not self.url.startswith(("http://", "https://")):
            yield Fault("url", f"{self.url!r} is none", "write url: http://HOST:PORT/PATH")
        if self.label and not (self.baseline and self.canary):
            yield Fault("label", "its values are missing", "add baseline: and canary:, what answers say")
        if self.label and not self.label.startswith(("header:", "json:")):
            yield Fault("label", f"{self.label!r} is none", "write header:NAME or json:FIELD.FIELD")


class SuccessRate(Model):
    """Share of the canary's answers below 400.

    It passes once it is certain to be `atLeast` - `margin` or more, and fails if it is certain to be less
    than `atLeast` and that is not certain. Against the baseline: it passes once it is certain to be at most
    `belowBaseline` worse, and fails if it is certain to be worse and that is not certain.
    """

    at_least: Rate | None = None
    margin: Rate = 0.0
    below_baseline: Annotated[float, Field(gt=0, le=1)] | None = None

    @check
    def some_limit(self) -> Iterator[Fault]:
        """One limit at least, and one that can be shown."""
        if self.at_least is None and self.below_baseline is None:
            yield Fault("", "has no limit", "add atLeast: 0.99 or belowBaseline: 0.01")
        if self.at_least is not None and self.at_least - self.margin >= 1:
            yield Fault(
                "atLeast", "no number of requests shows a rate of 1", "add margin: 0.01, or write 0.99"
            )


class Latency(Model):
    """A percentile of the response time of good answers, from when each request was due.

    It must be `atMost` so long, and at most `timesBaseline` the baseline's and `plus`.
    """

    percentile: Annotated[float, Field(gt=0, lt=100)]
    at_most: PositiveDuration | None = None
    times_baseline: Annotated[float, Field(gt=0)] | None = None
    plus: Duration = 0.0

    @check
    def some_limit(self) -> Iterator[Fault]:
        """One limit at least."""
        if self.at_most is None and self.times_baseline is None:
            yield Fault("", "has no limit", "add atMost: 300ms or timesBaseline: 1.5")


class Metric(Model):
    """A metric in Prometheus' form, as istio-telemetry counts it, or a query to a Prometheus.

    `where` picks series by labels (regular expressions over the whole value). `as`: `increase` in the
    window, `rate` (increase a second), `ratio` (increase of `where` over that of `of`), `value`, or
    `quantile` of a histogram (`name` without `_bucket`).
    """

    name: str = ""
    where: Mapping[str, str] = Field(default_factory=dict)
    of: Mapping[str, str] = Field(default_factory=dict)
    form: Annotated[Literal["increase", "rate", "ratio", "value", "quantile"], Field(alias="as")] = "increase"
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.99
    prometheus: str = ""
    query: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @check
    def complete(self) -> Iterator[Fault]:
        """A limit, and one way to get the value."""
        if self.at_least is None and self.at_most is None:
            yield Fault("", "has no limit", "add atLeast: or atMost:")
        if bool(self.prometheus) != bool(self.query):
            yield Fault("query", "prometheus and query belong together", "give both, or neither and name:")
        if self.prometheus and not self.prometheus.startswith(("http://", "https://")):
            yield Fault("prometheus", f"{self.prometheus!r} is no URL", "write prometheus: http://HOST:9090")
        if bool(self.name) == bool(self.query):
            yield Fault("name", "wants either a name or a query", "write name: istio_requests_total")
        if self.form == "ratio" and not self.of:
            yield Fault("of", "is missing", "say which series are the whole, as where: does for the part")

    @check
    def expressions(self) -> Iterator[Fault]:
        """Regular expressions that there are."""
        for field, labels in (("where", self.where), ("of", self.of)):
            for label, text in labels.items():
                try:
                    re.compile(text)
                except re.error as error:
                    yield Fault(f"{field}.{label}", f"{text!r} is no regular expression: {error}")


class Gate(Model):
    """One thing that must be good enough; exactly one of its kinds."""

    name: str = ""
    success_rate: SuccessRate | None = None
    latency: Latency | None = None
    metric: Metric | None = None

    @check
    def one_kind(self) -> Iterator[Fault]:
        """Exactly one."""
        if sum(each is not None for each in (self.success_rate, self.latency, self.metric)) != 1:
            yield Fault(
                "", "must be one of successRate, latency and metric", "write each as a gate of its own"
            )

    @property
    def only_relative(self) -> bool:
        """Whether it cannot be judged without a baseline."""
        if self.success_rate:
            return self.success_rate.at_least is None
        return self.latency is not None and self.latency.at_most is None

    @property
    def title(self) -> str:
        """For people."""
        if self.name:
            return self.name
        if self.latency:
            return f"p{self.latency.percentile:g}"
        return "success rate" if self.success_rate else self.metric.name or "query" if self.metric else "?"


class HeaderMatch(Model):
    """Requests with this header go to the canary, all others to the baseline."""

    name: HeaderName
    exact: Annotated[str, Field(min_length=1)]


class Step(Model):
    """One of `weight` (per cent of the requests), `header`, `mirror` (per cent) and `pause`.

    All but a pause hold for `hold`, of which `warmUp` at the start is not judged.
    """

    weight: Weight | None = None
    header: HeaderMatch | None = None
    mirror: Annotated[Whole, Field(ge=1, le=100)] | None = None
    pause: Duration | None = None
    hold: PositiveDuration | None = None
    warm_up: Duration | None = None

    @check
    def one_kind(self) -> Iterator[Fault]:
        """Exactly one, and a hold only where there is something to hold."""
        kinds = [self.weight, self.header, self.mirror, self.pause]
        if sum(each is not None for each in kinds) != 1:
            yield Fault(
                "", "must be one of weight, header, mirror and pause", "write each as a step of its own"
            )
        if self.pause is not None and (self.hold is not None or self.warm_up is not None):
            yield Fault("hold", "a pause is not held", "give its length itself: pause: 30s")

    @property
    def title(self) -> str:
        """For people."""
        if self.weight is not None:
            return f"weight {self.weight}"
        if self.header is not None:
            return f"header {self.header.name}={self.header.exact}"
        return f"mirror {self.mirror} %" if self.mirror is not None else f"pause {self.pause or 0:g} s"


class Judgement(Model):
    """How certain one must be. The risk 1 - `confidence` is that of a wrong word on a whole step.

    A hold is judged every `interval`; `failuresInARow` failed ones end it, and its end judges all of it. A
    hold that is inconclusive is prolonged by its own length, `inconclusive` times in the whole rollout.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    interval: PositiveDuration | None = None
    failures_in_a_row: Annotated[Whole, Field(ge=1)] = 2
    inconclusive: Annotated[Whole, Field(ge=0)] = 0
    sent_share: Annotated[float, Field(gt=0, le=1)] = 0.99
    late_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    minimum_requests: Annotated[Whole, Field(ge=1)] = 20


class Spec(Model):
    """What stands under `spec`."""

    virtual_service: Annotated[str, Field(min_length=1)]
    routes: tuple[str, ...] = ()
    baseline: Version
    canary: Version
    load: Load
    hold: PositiveDuration = 30.0
    warm_up: Duration = 2.0
    deadline: PositiveDuration = 3600.0
    in_force_timeout: PositiveDuration = 60.0
    judgement: Judgement = Judgement()
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @check
    def different(self) -> Iterator[Fault]:
        """Two versions; something that judges each step."""
        if self.baseline == self.canary:
            yield Fault("canary", "is the baseline itself", "name the subset of the new version")
        measured = any(gate.metric for gate in self.gates)
        for index, step in enumerate(self.steps):
            if step.mirror is not None and not measured:
                yield Fault(
                    f"steps[{index}].mirror",
                    "nothing judges it: answers to mirrored requests are thrown away",
                    "add a gate of kind metric, such as istio_requests_total",
                )
        relative = [gate.title for gate in self.gates if gate.only_relative]
        for index, step in enumerate(self.steps):
            if step.weight == 100 and relative:
                yield Fault(
                    f"steps[{index}].weight",
                    f"at 100 there is no baseline for gate {relative[0]!r} to compare with",
                    "give the gate an absolute limit too, or leave the step out: what passed is promoted",
                )
        if all(step.pause is not None for step in self.steps):
            yield Fault("steps", "nothing is judged in pauses alone", "add a step: weight: 10")

    @check
    def unique_names(self) -> Iterator[Fault]:
        """Gates that people can tell apart."""
        titles = [gate.title for gate in self.gates]
        for index, title in enumerate(titles):
            if title in titles[:index]:
                yield Fault(f"gates[{index}].name", f"{title!r} stands twice", "give each gate a name")


class Rollout:
    """A rollout that was found good."""

    def __init__(self, name: str, namespace: str, spec: Spec, value: dict[str, Any]) -> None:
        self.name = name
        self.namespace = namespace
        self.spec = spec
        self.value = value

    def __repr__(self) -> str:
        return f"<Rollout {self.namespace}/{self.name}>"

    def hold_of(self, step: Step) -> float:
        """Seconds that a step is judged, without its warm-up."""
        return step.hold if step.hold is not None else self.spec.hold

    def warm_up_of(self, step: Step) -> float:
        """Seconds before that."""
        return step.warm_up if step.warm_up is not None else self.spec.warm_up

    def looks_of(self, step: Step) -> int:
        """How often a step may be judged at most, prolonged as often as may be."""
        judgement, hold = self.spec.judgement, self.hold_of(step)
        each = max(1, round(hold / judgement.interval)) if judgement.interval else 1
        return (each if each == 1 else each + 1) * (1 + judgement.inconclusive)

    @cached_property
    def comparisons(self) -> int:
        """How many statistical comparisons one look makes."""
        gates = self.spec.gates
        rates = [gate.success_rate for gate in gates if gate.success_rate]
        times = [gate.latency for gate in gates if gate.latency]
        found = sum((r.at_least is not None) + (r.below_baseline is not None) for r in rates)
        # a comparison of two percentiles rests on a bound of each
        return found + sum((t.at_most is not None) + 2 * (t.times_baseline is not None) for t in times) or 1

    def alpha_of(self, step: Step) -> float:
        """The risk of one comparison: those of a step together keep to the wanted one (Bonferroni)."""
        return (1 - self.spec.judgement.confidence) / (self.looks_of(step) * self.comparisons)


def load_file(path: Path | str) -> Rollout:
    """The rollout of a file. Raises `ConfigError` with file and line of all that is wrong."""
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            [_problem(f"cannot be read: {reason}", "give the path of a rollout file", str(file))]
        ) from None
    return load_text(text, str(file))


def load_text(text: str, file: str = "<text>") -> Rollout:
    """The rollout of a YAML text. Raises `ConfigError`."""
    documents = list(read(text, file))
    if len(documents) != 1:
        found = f"holds {len(documents)} objects"
        raise ConfigError([_problem(found, f"write one object of kind {KIND}", file)])
    document = documents[0]
    try:
        return parse(document.value)
    except ConfigError as error:
        raise ConfigError(list(located(document, error.problems))) from None


def parse(value: Mapping[str, Any]) -> Rollout:
    """The rollout of an object. Raises `ConfigError`."""
    metadata = metadata_of(value, "")
    key = ObjectKey(
        str(value.get("kind", "")), str(metadata.get("namespace", "default")), str(metadata["name"])
    )
    problems = [
        Problem(key, field, f"is {shown(value.get(field))}", f"write {field}: {right}")
        for field, right in (("apiVersion", API_VERSION), ("kind", KIND))
        if value.get(field) != right
    ]
    problems += [
        Problem(key, field, "there is no such field", "fields here are apiVersion, kind, metadata, spec")
        for field in value
        if field not in ("apiVersion", "kind", "metadata", "spec")
    ]
    problems += [
        Problem(
            key,
            f"metadata.{field}",
            f"is {shown(text)}",
            "write lower case letters, digits, '-' and '.' only",
        )
        for field, text in (("name", key.name), ("namespace", key.namespace))
        if not NAME.fullmatch(text)
    ]
    spec = value.get("spec")
    if not isinstance(spec, Mapping):
        problems.append(Problem(key, "spec", f"is {shown(spec)}", "write a mapping of fields"))
    if problems:
        raise ConfigError(problems)
    made = checked(Spec, spec or {}, key)
    return Rollout(key.name, key.namespace, made, dict(value))


def _problem(message: str, remedy: str, origin: str) -> Problem:
    return Problem(ObjectKey(KIND, "", ""), "", message, remedy, origin)


__all__ = ["API_VERSION", "Gate", "Rollout", "Step", "load_file", "load_text", "parse"]
