"""Handlers' static meanings as conditions, with the answers that istio-policy would give.

The words of a refusal come from where the adapters have them, so that both ways say the same.
"""

from mesh.pilot.compile.mixer.formula import one_of
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.lists import in_list
from mesh.pilot.compile.mixer.outcome import Outcome, said
from mesh.pilot.compile.mixer.roles import roles
from mesh.pilot.compile.mixer.terms import NotHere
from mesh.pilot.compile.mixer.values import Value, present, value
from mesh.rules.adapter import CheckResult, Code
from mesh.rules.resolve import HandlerConfig, InstanceConfig
from mesh.rules.static import Always, InList, NotStatic, Roles


def outcome(handler: HandlerConfig, instance: InstanceConfig, known: Known) -> Outcome:
    """What becomes of an instance at a handler; `NotHere` if istio-policy must say."""
    meaning = handler.adapter.static(handler.params)
    match meaning:
        case NotStatic(reason):
            raise NotHere(f"handler {handler.name}: {reason}")
        case Always():
            return always(meaning, handler.name, instance, known)
        case InList():
            return in_list(meaning, handler.name, required(instance, known)["value"], known)
        case Roles():
            return roles(meaning, handler.name, instance.builder, known)
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


def always(meaning: Always, handler: str, instance: InstanceConfig, known: Known) -> Outcome:
    """The same answer to everything."""
    missing = one_of(~present(each) for each in required(instance, known).values())
    if meaning.code == Code.OK:
        return Outcome(missing)
    result = CheckResult(
        Code(meaning.code),
        meaning.message,
        status=meaning.status,
        body=meaning.body,
        headers=meaning.headers,
    )
    return Outcome(missing, ((~missing, said(result, handler)),))
