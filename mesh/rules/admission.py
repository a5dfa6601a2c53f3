"""What is wrong with an object of Mixer's kinds: by itself, and in what it refers to among those present.

An object is admitted if `problems_of` and `reference_problems` have nothing to say. So handlers, instances and
manifests must be there before the rules that name them, QuotaSpecs before their bindings.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mesh.api.errors import ConfigError, Problem
from mesh.api.mixer import AttributeManifest, HeaderOperation, Rule
from mesh.model import ConfigObject, ObjectKey
from mesh.rules.builder import Vocabulary
from mesh.rules.reading import (
    HANDLER_KINDS,
    INSTANCE_KINDS,
    Adapters,
    builder_of,
    handler_of,
    text_of,
    told,
)
from mesh.rules.resolve import resolve
from mesh.rules.types import ValueType
from mesh.rules.vocabulary import ATTRIBUTES, Outputs, vocabulary

KINDS = HANDLER_KINDS | INSTANCE_KINDS | {"rule", "attributemanifest", "QuotaSpec", "QuotaSpecBinding"}
MANIFEST = "attributemanifest"


def problems_of(obj: ConfigObject, adapters: Adapters, attributes: Vocabulary = ATTRIBUTES) -> list[Problem]:
    """What is wrong with one object alone: expressions, adapter, parameters, template, fields."""
    kind = obj.key.kind
    if kind in HANDLER_KINDS:
        return _raised(lambda: _fit(obj, adapters))
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
        text_of(obj, path, text, attributes, None, found)
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
    obj: ConfigObject, present: Mapping[ObjectKey, ConfigObject], adapters: Adapters
) -> list[Problem]:
    """What is wrong with an object beside those present: names that lead nowhere, types that do not fit.

    An object that is changed is also held against the rules that use it: what they need must not go.
    """
    others = {key: each for key, each in present.items() if key.kind in KINDS}
    after = resolve([*(each for key, each in others.items() if key != obj.key), obj], adapters)
    mine = [each for each in after.problems if each.object == obj.key]
    if mine or obj.key not in others:
        return mine
    before = {(each.object, each.path) for each in resolve(others.values(), adapters).problems}
    broken = [each for each in after.problems if (each.object, each.path) not in before]
    return [
        Problem(
            obj.key,
            "spec",
            f"{each.object} would be broken: {each.path}: {each.message}",
            "change what uses it first",
        )
        for each in broken
    ]


def known_attributes(present: Mapping[ObjectKey, ConfigObject]) -> Vocabulary:
    """The vocabulary with what manifests among the objects present add."""
    return vocabulary(each.spec for key, each in present.items() if key.kind == MANIFEST)


def admission(
    obj: ConfigObject, present: Mapping[ObjectKey, ConfigObject], adapters: Adapters
) -> list[Problem]:
    """All reasons to refuse an object among those present; empty for kinds that are not Mixer's."""
    if obj.key.kind not in KINDS:
        return []
    return problems_of(obj, adapters, known_attributes(present)) or reference_problems(obj, present, adapters)
