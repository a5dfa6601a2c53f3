"""One configuration in force: rules grouped by the namespace that they are for, bound to running handlers.

Made once for each change, so that a call only evaluates matches and builds instances. Old calls finish on the
`Live` that they began with; its handlers are let go when the last of them is done.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from mesh.mixer.bag import Bag
from mesh.mixer.handlers import Running
from mesh.mixer.metrics import HandlerMetrics
from mesh.mixer.sampling import Chosen, chooser
from mesh.mixer.selection import Selection
from mesh.model import ObjectKey
from mesh.rules.adapter import Instance
from mesh.rules.builder import Builder
from mesh.rules.expressions import Absent, EvaluationError, Expression
from mesh.rules.resolve import ActionConfig, HeaderConfig, InstanceConfig, RuleConfig, Ruleset
from mesh.rules.templates import Variety

log = structlog.get_logger(component="mixer")

SPANS = "tracespan"
"""Template that reports of calls leave out: Envoy's tracer makes the spans (see `mesh.mixer.tracing`)."""


class Reshape(Protocol):
    """What else changes instances that rules make for reports; `problems` are what of it cannot be used."""

    problems: list[str]

    def concerns(self, template: str, adapter: str) -> bool:
        """Whether instances of a template for handlers of an adapter are changed at all."""

    def changed(self, bag: Bag, instance: Instance) -> Instance | None:
        """The instance for a call; None if there is to be none."""


class Failure(Exception):
    """A call could not be decided or reported as the rules say; the text is for logs and for Envoy."""


class NotRunning(Failure):
    """A handler that a rule names does not run."""


@dataclass(eq=False, slots=True)
class Step:
    """One instance to make and the handler that gets it."""

    action: str
    handler: str
    instance: str
    template: str
    builder: Builder
    running: Running | None
    dispatched: Callable[..., None]
    failed: Callable[..., None]
    unmade: Callable[[], None]
    reshape: Reshape | None = None

    def build(self, bag: Any) -> Instance:
        """Make the instance; raises `Failure` naming what is missing."""
        try:
            return self.builder.build(bag, self.instance)
        except (Absent, EvaluationError) as error:
            self.unmade()
            raise Failure(f"instance {self.instance}: {error}") from None

    def target(self) -> Running:
        """The handler; raises `NotRunning`."""
        if self.running is None:
            raise NotRunning(f"handler {self.handler} does not run")
        return self.running


@dataclass(eq=False, slots=True)
class BoundRule:
    """A rule with the steps of one variety."""

    name: str
    match: Callable[[Any], Any] | None
    steps: tuple[Step, ...]
    request_headers: tuple[HeaderConfig, ...]
    response_headers: tuple[HeaderConfig, ...]
    unmatched: Callable[[], None]
    config: RuleConfig
    sampled: Chosen | None = None

    def matches(self, bag: Any) -> bool:
        """Whether the rule is for a call. One that cannot be decided is not: classic Mixer skips it too."""
        if self.match is None:
            return True
        try:
            return bool(self.match(bag))
        except Absent:
            return False
        except EvaluationError:
            self.unmatched()
            return False


class Live:
    """A `Ruleset` in force with its handlers, for the rules of some varieties."""

    def __init__(
        self,
        ruleset: Ruleset,
        running: Mapping[str, Running],
        metrics: HandlerMetrics,
        *,
        root_namespace: str = "istio-system",
        reshape: Reshape | None = None,
        released: Callable[["Live"], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ruleset = ruleset
        self.running = running
        self.metrics = metrics
        self.root_namespace = root_namespace
        self.reshape = reshape
        self.users = 0
        self._released = released
        self._retired = False
        self._monotonic = monotonic
        self._choosers: dict[ObjectKey, Chosen | None] = {}
        self._namespaces = frozenset(rule.namespace for rule in ruleset.rules)
        self._bound: dict[tuple[Variety, str], Selection[BoundRule]] = {}

    def __repr__(self) -> str:
        return f"<Live: {len(self.ruleset.rules)} rules, {len(self.running)} handlers, {self.users} users>"

    def enter(self) -> "Live":
        """Begin a call; `leave` must follow."""
        self.users += 1
        return self

    def leave(self) -> None:
        """End a call that was begun by `enter`."""
        self.users -= 1
        self._release()

    def retire(self) -> None:
        """Another takes its place; its handlers are let go once its last call is done."""
        self._retired = True
        self._release()

    def _release(self) -> None:
        if self._retired and not self.users:
            self._released(self)

    def rules(self, variety: Variety, namespace: str) -> tuple[BoundRule, ...]:
        """The rules for calls in a namespace: the root namespace's first, each in order of names."""
        return self.selection(variety, namespace).rules

    def selection(self, variety: Variety, namespace: str) -> Selection[BoundRule]:
        """These rules, to be put to calls."""
        scope = self.scope(namespace)
        found = self._bound.get((variety, scope))
        if found is None:
            bound = ((rule, rule.config.match) for rule in self._bind_all(variety, scope))
            found = self._bound[variety, scope] = Selection(bound, self.ruleset.attributes)
        return found

    def scope(self, namespace: str) -> str:
        """A namespace, or "" for all that have no rules: proxies could name others without end."""
        return namespace if namespace in self._namespaces else ""

    def report(self, calls: Iterable[tuple[Mapping[str, Any], str]]) -> int:
        """Hand reports of calls (attributes, namespace) to the handlers, those of one template together.

        Gives back how many instances were handed on. What fails is counted; the others are not held up.
        """
        gathered: dict[tuple[str, str], tuple[Step, list[Instance]]] = {}
        for values, namespace in calls:
            bag = Bag(values)
            for rule in self.selection(Variety.REPORT, namespace).matching(bag):
                if rule.sampled is None or rule.sampled(bag):
                    _gather(gathered, rule.steps, bag)
        return sum(_handed(step, instances) for step, instances in gathered.values())

    def _bind_all(self, variety: Variety, namespace: str) -> Iterable[BoundRule]:
        scopes = dict.fromkeys((self.root_namespace, namespace))
        for scope in scopes:
            mine = [rule for rule in self.ruleset.rules if rule.namespace == scope]
            for rule in sorted(mine, key=lambda each: each.key.name):
                bound = self._bind(rule, variety)
                if bound is not None:
                    yield bound

    def _bind(self, rule: RuleConfig, variety: Variety) -> BoundRule | None:
        steps = tuple(
            self._step(action, instance)
            for action in rule.actions
            for instance in map(self.ruleset.instances.__getitem__, action.instances)
            if instance.template.variety is variety
        )
        headers = bool(rule.request_headers or rule.response_headers) and variety is Variety.CHECK
        if not steps and not headers:
            return None
        name = f"{rule.key.name}.{rule.namespace}"
        return BoundRule(
            name,
            evaluator(rule.match),
            steps,
            rule.request_headers,
            rule.response_headers,
            self.metrics.unmatched.labels(name).inc,
            rule,
            self._chooser(rule) if variety is Variety.REPORT else None,
        )

    def _chooser(self, rule: RuleConfig) -> Chosen | None:
        """One for each rule, whatever namespace's calls it is bound for: its counts are the rule's."""
        if rule.key not in self._choosers:
            self._choosers[rule.key] = chooser(rule.sampling, self.ruleset.attributes, self._monotonic)
        return self._choosers[rule.key]

    def _step(self, action: ActionConfig, instance: InstanceConfig) -> Step:
        running = self.running.get(action.handler)
        adapter = running.config.adapter.name if running else "none"
        reshaped = self.reshape is not None and self.reshape.concerns(instance.template.name, adapter)
        return Step(
            action.name,
            action.handler,
            instance.name,
            instance.template.name,
            instance.builder,
            running,
            self.metrics.dispatches.labels(action.handler, adapter).inc,
            self.metrics.errors.labels(action.handler, adapter).inc,
            self.metrics.unmade.labels(instance.name).inc,
            self.reshape if reshaped else None,
        )


def _gather(
    gathered: dict[tuple[str, str], tuple[Step, list[Instance]]], steps: Iterable[Step], bag: Bag
) -> None:
    """Make the instances of a rule, each into the group of its handler and template."""
    for step in steps:
        if step.template == SPANS:
            continue
        try:
            made: Instance | None = step.build(bag)
        except Failure:
            continue
        if made is not None and step.reshape is not None:
            made = step.reshape.changed(bag, made)
        if made is None:
            continue
        gathered.setdefault((step.handler, step.template), (step, []))[1].append(made)


def _handed(step: Step, instances: list[Instance]) -> int:
    """Hand instances to a handler; how many it took."""
    try:
        step.target().adapter.report(instances)
    except Exception as error:
        step.failed(len(instances))
        log.warning("a handler took no reports", handler=step.handler, error=str(error))
        return 0
    step.dispatched(len(instances))
    return len(instances)


def evaluator(match: Expression | None) -> Callable[[Any], Any] | None:
    """What evaluates a match; None for one that is always so."""
    return None if match is None else match.evaluate
