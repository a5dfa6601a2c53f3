"""Mixer's configuration put together: objects of newer and older forms in, one immutable `Ruleset` out.

Pure. What has a problem is left out with all that depends on it, and the others stand.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from mesh.api.errors import Problem
from mesh.api.mixer import Action, HeaderOperation, Rule
from mesh.model import ConfigObject
from mesh.rules.builder import Types, Vocabulary
from mesh.rules.names import Names, handler_name, instance_name, missing
from mesh.rules.parts import (
    ActionConfig,
    Clause,
    HandlerConfig,
    HeaderConfig,
    InstanceConfig,
    QuotaRule,
    RuleConfig,
)
from mesh.rules.quotas import Quotas, quotas
from mesh.rules.reading import (
    HANDLER_KINDS,
    INSTANCE_KINDS,
    Adapters,
    builder_of,
    collected,
    handler_of,
    text_of,
    told,
)
from mesh.rules.templates import Variety
from mesh.rules.types import ValueType
from mesh.rules.vocabulary import ATTRIBUTES, Outputs, vocabulary

__all__ = [
    "ActionConfig",
    "Clause",
    "HandlerConfig",
    "HeaderConfig",
    "InstanceConfig",
    "QuotaRule",
    "Quotas",
    "RuleConfig",
    "Ruleset",
    "resolve",
]
REQUEST_HEADERS = "request.headers"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules that can be followed, what they name, and the problems of those that cannot.

    `handlers` and `instances` are by their full names; `rules` are in the order of namespace and name.
    """

    handlers: Mapping[str, HandlerConfig] = field(default_factory=dict)
    instances: Mapping[str, InstanceConfig] = field(default_factory=dict)
    rules: tuple[RuleConfig, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    problems: tuple[Problem, ...] = ()
    attributes: Vocabulary = field(default_factory=lambda: ATTRIBUTES, repr=False)

    def headers(self, *wanted: str, attribute: str = REQUEST_HEADERS) -> frozenset[str]:
        """The keys of a map attribute (headers' names) that rules refer to, if they serve what is wanted.

        `wanted` are varieties or names of templates; none means all.
        """
        return frozenset(
            key for rule in self.serving(*wanted) for name, key in self.keys(rule) if name == attribute
        )

    def serving(self, *wanted: str) -> tuple[RuleConfig, ...]:
        """The rules with an instance of these varieties or templates; those that change headers are CHECK."""
        return tuple(rule for rule in self.rules if not wanted or self._serves(rule, wanted))

    def _serves(self, rule: RuleConfig, wanted: tuple[str, ...]) -> bool:
        if (rule.request_headers or rule.response_headers) and Variety.CHECK in wanted:
            return True
        templates = (self.instances[name].template for each in rule.actions for name in each.instances)
        return any(each.name in wanted or each.variety in wanted for each in templates)

    def keys(self, rule: RuleConfig) -> frozenset[tuple[str, str]]:
        """The pairs of map attribute and key that a rule and its instances refer to."""
        found = set(rule.match.headers) if rule.match else set()
        for action in rule.actions:
            for name in action.instances:
                found |= self.instances[name].builder.headers
        for header in (*rule.request_headers, *rule.response_headers):
            for value in header.values:
                found |= value.headers
        return frozenset(found)

    def scope(self, root_namespace: str) -> Callable[[str], tuple[RuleConfig, ...]]:
        """Gives the rules for calls of a namespace: those of the root namespace, then its own."""

        def of(namespace: str) -> tuple[RuleConfig, ...]:
            scopes = dict.fromkeys((root_namespace, namespace))
            return tuple(rule for scope in scopes for rule in self.rules if rule.namespace == scope)

        return of


def resolve(objects: Iterable[ConfigObject], adapters: Adapters) -> Ruleset:
    """Put configuration together; objects of other kinds are passed over."""
    given = sorted(objects, key=lambda obj: obj.key)
    kinds: dict[str, list[ConfigObject]] = {}
    for obj in given:
        kinds.setdefault(obj.key.kind, []).append(obj)
    attributes = vocabulary(obj.spec for obj in kinds.get("attributemanifest", ()))
    problems: list[Problem] = []
    instances = read_instances(given, attributes, problems)
    handlers = read_handlers(given, adapters, problems)
    put = Assembly(Names(handlers.items()), Names(instances.items()), attributes, problems)
    rules = [each for each in map(put.rule, kinds.get("rule", ())) if each is not None]
    found, rules = typed(handlers, instances, rules, given, problems)
    bound, faults = quotas(kinds.get("QuotaSpec", ()), kinds.get("QuotaSpecBinding", ()), put.instances)
    return Ruleset(
        MappingProxyType({each.name: each for each in found}),
        MappingProxyType({each.name: each for each in instances.values()}),
        tuple(rules),
        bound,
        (*problems, *faults),
        attributes,
    )


def read_instances(
    objects: Iterable[ConfigObject], attributes: Vocabulary, problems: list[Problem]
) -> dict[Any, InstanceConfig]:
    """The instances that can be made, by their keys."""
    found = {}
    for obj in objects:
        if obj.key.kind in INSTANCE_KINDS:
            builder = collected(partial(builder_of, obj, attributes), problems)
            if builder is not None:
                found[obj.key] = InstanceConfig(instance_name(obj.key), obj.key, builder.template, builder)
    return found


def read_handlers(
    objects: Iterable[ConfigObject], adapters: Adapters, problems: list[Problem]
) -> dict[Any, HandlerConfig]:
    """The handlers whose parameters are good, by their keys; without types."""
    found = {}
    for obj in objects:
        if obj.key.kind in HANDLER_KINDS:
            made = collected(partial(handler_of, obj, adapters), problems)
            if made is not None:
                found[obj.key] = HandlerConfig(handler_name(obj.key), made[0], made[1], obj.key, {})
    return found


@dataclass(frozen=True, slots=True)
class Assembly:
    """What rules are put together from. Each method adds what is wrong to `problems` and then gives None."""

    handlers: Names[HandlerConfig]
    instances: Names[InstanceConfig]
    attributes: Vocabulary
    problems: list[Problem]

    def rule(self, obj: ConfigObject) -> RuleConfig | None:
        """One rule."""
        spec: Rule = obj.spec
        before = len(self.problems)
        match = None
        if spec.match.strip():
            match = text_of(obj, "spec.match", spec.match, self.attributes, ValueType.BOOL, self.problems)
        actions = [self.action(obj, index, each) for index, each in enumerate(spec.actions)]
        outputs = Outputs(self.attributes, [each.name for each in spec.actions if each.name])
        request = self.headers(obj, "requestHeaderOperations", spec.request_header_operations, outputs)
        response = self.headers(obj, "responseHeaderOperations", spec.response_header_operations, outputs)
        if len(self.problems) > before:
            return None
        found = tuple(each for each in actions if each is not None)
        return RuleConfig(obj.key, obj.namespace, match, found, request, response, spec.sampling)

    def action(self, obj: ConfigObject, index: int, action: Action) -> ActionConfig | None:
        """One action of a rule."""
        path = f"spec.actions[{index}]"
        handler = self.handlers.find(action.handler, obj.namespace)
        if handler is None:
            self._unknown(obj, f"{path}.handler", "handler", action.handler, self.handlers)
        names = [
            self.instance(obj, f"{path}.instances[{place}]", each, handler)
            for place, each in enumerate(action.instances)
        ]
        if handler is None or None in names:
            return None
        return ActionConfig(action.name, handler.name, tuple(name for name in names if name))

    def instance(self, obj: ConfigObject, path: str, name: str, handler: HandlerConfig | None) -> str | None:
        """The full name of an instance that a handler can take."""
        instance = self.instances.find(name, obj.namespace)
        if instance is None:
            self._unknown(obj, path, "instance", name, self.instances)
            return None
        if handler is not None and instance.template.name not in handler.adapter.templates:
            served = ", ".join(sorted(handler.adapter.templates))
            words = (
                f"{name} is of template {instance.template.name}, which adapter {handler.adapter.name} of "
                f"handler {handler.name} does not serve"
            )
            self.problems.append(Problem(obj.key, path, words, f"it serves {served}"))
            return None
        return instance.name

    def headers(
        self, obj: ConfigObject, field: str, operations: Iterable[HeaderOperation], attributes: Vocabulary
    ) -> tuple[HeaderConfig, ...]:
        """Header operations, their values compiled."""
        found = []
        for index, each in enumerate(operations):
            values = [
                text_of(
                    obj, f"spec.{field}[{index}].values[{place}]", text, attributes, ValueType.STRING,
                    self.problems,
                )
                for place, text in enumerate(each.values)
            ]  # fmt: skip
            found.append(HeaderConfig(each.name, each.operation, tuple(value for value in values if value)))
        return tuple(found)

    def _unknown(self, obj: ConfigObject, path: str, what: str, name: str, names: Names[Any]) -> None:
        remedy = names.near(name, obj.namespace)
        self.problems.append(Problem(obj.key, path, missing(what, name), remedy))


def typed(
    handlers: Mapping[Any, HandlerConfig],
    instances: Mapping[Any, InstanceConfig],
    rules: list[RuleConfig],
    objects: list[ConfigObject],
    problems: list[Problem],
) -> tuple[list[HandlerConfig], list[RuleConfig]]:
    """Handlers with the types of what rules send; those whose parameters do not fit go, with their rules."""
    by_name = {each.name: each for each in instances.values()}
    sources = {obj.key: obj for obj in objects}
    found: list[HandlerConfig] = []
    for handler in handlers.values():
        types = sent(handler.name, rules, by_name)
        faults = told(sources[handler.key], handler.adapter.faults(handler.params, types))
        problems += faults
        if not faults:
            found.append(replace(handler, types=types))
    usable = {each.name for each in found}
    for rule in rules:
        missing = sorted({each.handler for each in rule.actions} - usable)
        problems += [
            Problem(rule.key, "spec.actions", f"handler {name} cannot be used", "see what is wrong with it")
            for name in missing
        ]
    return found, [rule for rule in rules if all(each.handler in usable for each in rule.actions)]


def sent(
    handler: str, rules: Iterable[RuleConfig], instances: Mapping[str, InstanceConfig]
) -> Mapping[str, Types]:
    """The types of all instances that rules send to a handler, by the instances' full names."""
    names = {
        name for rule in rules for each in rule.actions if each.handler == handler for name in each.instances
    }
    return {name: instances[name].builder.types for name in sorted(names)}
