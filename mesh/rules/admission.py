"""What is wrong with an object of Mixer's kinds: by itself, and beside the objects that are there.

So handlers, instances and manifests must be there before the rules that name them, and QuotaSpecs before
their bindings. A change of a handler or instance that rules use is let in, with a warning where they would no
longer fit together: the other half of such a change can only come after it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.api.errors import ConfigError, Problem
from mesh.api.mixer import AttributeManifest, HeaderOperation, Rule
from mesh.model import ConfigObject, ObjectKey
from mesh.rules import tags
from mesh.rules.advice import advice_on
from mesh.rules.builder import Vocabulary
from mesh.rules.names import leads_nowhere
from mesh.rules.reading import (
    HANDLER_KINDS,
    INSTANCE_KINDS,
    Adapters,
    builder_of,
    handler_of,
    text_of,
    told,
)
from mesh.rules.registry import adapters as installed
from mesh.rules.resolve import Ruleset, resolve
from mesh.rules.types import ValueType
from mesh.rules.vocabulary import ATTRIBUTES, Outputs, vocabulary

REFERRING = frozenset({"rule", "QuotaSpec", "QuotaSpecBinding"})
KINDS = HANDLER_KINDS | INSTANCE_KINDS | REFERRING | {"attributemanifest"}
MANIFEST = "attributemanifest"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Why an object is refused, what is doubtful about it, and whether it may only have come too early."""

    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    dangling: bool = False


def judgement(
    obj: ConfigObject,
    present: Mapping[ObjectKey, ConfigObject],
    adapters: Adapters,
    *,
    references: bool = True,
) -> Judgement:
    """All that is to be said of an object beside those present; `references` are followed among them.

    Nothing is said of other kinds than Mixer's and Telemetry.
    """
    if obj.key.kind == tags.KIND:
        return Judgement(tuple(tags.problems(obj)))
    if obj.key.kind not in KINDS:
        return Judgement()
    errors = problems_of(obj, adapters, known_attributes(present))
    if errors:
        # An attribute may be of a manifest that is on its way.
        return Judgement(tuple(errors), dangling=references and all(map(unknown_attribute, errors)))
    if not references:
        return Judgement()
    after = resolve(beside(obj, present), adapters)
    found = tuple(reference_problems(obj, present, after, adapters))
    doubts = tuple(advice_on(obj, after))
    if obj.key.kind in REFERRING:
        return Judgement(found, doubts, dangling=any(map(leads_nowhere, found)))
    return Judgement(warnings=(*found, *doubts))


def beside(obj: ConfigObject, present: Mapping[ObjectKey, ConfigObject]) -> list[ConfigObject]:
    """Mixer's objects as they would be with this one."""
    return [*(each for key, each in present.items() if key.kind in KINDS and key != obj.key), obj]


def unknown_attribute(problem: Problem) -> bool:
    """Whether a manifest could mend a problem."""
    return "is not an attribute" in problem.message


def problems_of(
    obj: ConfigObject, adapters: Adapters | None = None, attributes: Vocabulary = ATTRIBUTES
) -> list[Problem]:
    """What is wrong with one object alone: expressions, adapter, parameters, template, fields.

    `adapters` are those that are installed, unless given.
    """
    kind = obj.key.kind
    if kind in HANDLER_KINDS:
        return _raised(lambda: _fit(obj, installed() if adapters is None else adapters))
    if kind in INSTANCE_KINDS:
        return _raised(lambda: builder_of(obj, attributes))
    if kind == "rule":
        return rule_problems(obj, attributes)
    return manifest_problems(obj) if kind == MANIFEST else []


def _raised(make: Callable[[], Any]) -> list[Problem]:
    try:
        make()
    except ConfigError as error:
        return list(error.problems)
    return []


def _fit(obj: ConfigObject, adapters: Adapters) -> None:
    """The handler alone, as if no rule sent anything to it."""
    adapter, params = handler_of(obj, adapters)
    found = told(obj, adapter.faults(params, {}))
    if found:
        raise ConfigError(found)


def rule_problems(obj: ConfigObject, attributes: Vocabulary) -> list[Problem]:
    """A rule's match, the values of its header operations, and its sampling."""
    rule: Rule = obj.spec
    found: list[Problem] = []
    if rule.match.strip():
        text_of(obj, "spec.match", rule.match, attributes, ValueType.BOOL, found)
    outputs = Outputs(attributes, [each.name for each in rule.actions if each.name])
    for field, operations in (
        ("requestHeaderOperations", rule.request_header_operations),
        ("responseHeaderOperations", rule.response_header_operations),
    ):
        for path, text in _values(field, operations):
            text_of(obj, path, text, outputs, ValueType.STRING, found)
    if rule.sampling and rule.sampling.random and rule.sampling.random.attribute_expression:
        path, text = "spec.sampling.random.attributeExpression", rule.sampling.random.attribute_expression
        share = text_of(obj, path, text, attributes, None, found)
        if share is not None and share.type not in (ValueType.INT64, ValueType.DOUBLE):
            words = f"is {share.type} where a number is expected: how many of the denominator"
            found.append(Problem(obj.key, path, words, "name an attribute that is a number"))
    return found


def _values(field: str, operations: Iterable[HeaderOperation]) -> Iterator[tuple[str, str]]:
    for index, each in enumerate(operations):
        for place, text in enumerate(each.values):
            yield f"spec.{field}[{index}].values[{place}]", text


def manifest_problems(obj: ConfigObject) -> list[Problem]:
    """Attributes whose standard type a manifest would change, or that have none."""
    manifest: AttributeManifest = obj.spec
    found: list[Problem] = []
    for name, info in manifest.attributes.items():
        path = f"spec.attributes[{name}].valueType"
        standard = ATTRIBUTES.get(name)
        if info.value_type == "VALUE_TYPE_UNSPECIFIED":
            found.append(Problem(obj.key, path, "is missing", "write one of " + ", ".join(ValueType)))
        elif standard is not None and standard != info.value_type:
            words = f"{name} is {standard} in the standard vocabulary, not {info.value_type}"
            found.append(Problem(obj.key, path, words, "choose another name"))
    return found


def reference_problems(
    obj: ConfigObject, present: Mapping[ObjectKey, ConfigObject], after: Ruleset, adapters: Adapters
) -> list[Problem]:
    """What is wrong with an object beside those present: names that lead nowhere, types that do not fit.

    Of one that others use: what would be wrong with them that is not so now. `after` is all with the object.
    """
    if obj.key.kind in REFERRING:
        return [each for each in after.problems if each.object == obj.key]
    now = resolve((each for key, each in present.items() if key.kind in KINDS), adapters)
    before = {(each.object, each.path) for each in now.problems}
    return [
        Problem(obj.key, "spec", f"with this, {_at(each)}", each.remedy or "change what uses it, too")
        for each in after.problems
        if (each.object, each.path) not in before
    ]


def _at(problem: Problem) -> str:
    return f"{problem.object} does not hold: {problem.path}: {problem.message}"


def known_attributes(present: Mapping[ObjectKey, ConfigObject]) -> Vocabulary:
    """The vocabulary with what manifests among the objects present add."""
    return vocabulary(each.spec for key, each in present.items() if key.kind == MANIFEST)
