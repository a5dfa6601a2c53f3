"""Handlers' static meanings as conditions, with the answers that istio-policy would give.

The words of a refusal come from the adapters themselves, so that both ways say the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.pilot.compile.mixer.formula import NEVER, Formula, one_of
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.terms import NotHere
from mesh.pilot.compile.mixer.values import Value, value
from mesh.rules import answers
from mesh.rules.adapter import CheckResult, Code
from mesh.rules.resolve import HandlerConfig, InstanceConfig
from mesh.rules.static import Always, NotStatic


@dataclass(frozen=True, slots=True)
class Reply:
    """What a refused caller gets. `format` is a body with Envoy's operators in it."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    format: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """When an instance cannot be made, and when and how it is refused."""

    unmade: Formula = NEVER
    refusals: tuple[tuple[Formula, Reply], ...] = ()


def outcome(handler: HandlerConfig, instance: InstanceConfig, known: Known) -> Outcome:
    """What becomes of an instance at a handler; `NotHere` if istio-policy must say."""
    meaning = handler.adapter.static(handler.params)
    match meaning:
        case NotStatic(reason):
            raise NotHere(f"handler {handler.name}: {reason}")
        case Always():
            return always(meaning, handler, instance, known)
    raise NotHere(f"handler {handler.name} keeps quotas")


def required(instance: InstanceConfig, known: Known) -> dict[str, Value]:
    """The values of the fields without which there is no instance."""
    found = {}
    for name in sorted(instance.template.required):
        expression = instance.builder.expression(name)
        if expression is None:
            raise NotHere(f"instance {instance.name} has more than single values")
        found[name] = value(expression.tree, known)
    return found


def unmade(values: Mapping[str, Value]) -> Formula:
    """When one of these values is absent."""
    return one_of(~present(each) for each in values.values())


def present(one: Value) -> Formula:
    """When there is a value."""
    return one_of(choice.when for choice in one)


def always(meaning: Always, handler: HandlerConfig, instance: InstanceConfig, known: Known) -> Outcome:
    """The same answer to everything."""
    missing = unmade(required(instance, known))
    if meaning.code == Code.OK:
        return Outcome(missing)
    result = CheckResult(
        Code(meaning.code),
        meaning.message,
        status=meaning.status,
        body=meaning.body,
        headers=meaning.headers,
    )
    return Outcome(missing, ((~missing, said(result, handler.name)),))


def said(result: CheckResult, handler: str) -> Reply:
    """The answer that istio-policy makes of a result."""
    return Reply(answers.status_of(result), answers.body_of(result, handler), result.headers)
