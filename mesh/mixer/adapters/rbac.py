"""`rbac`: roles say what may be done, bindings say who has them; who has no role that grants it is refused.

Source: Istio 1.6's reference of the adapter, rbac.istio.io/v1alpha1 ServiceRole and ServiceRoleBinding; here
they are written in the handler's parameters. Texts may be `*`, `prefix*` or `*suffix`. Of a subject all that
it names must fit; classic Mixer let a fitting user pass whatever its properties were.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field

from mesh.api.base import Duration, Model
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.limits import Types, text
from mesh.rules.adapter import Adapter, CheckResult, Environment, Instance
from mesh.rules.answers import NO_ROLE
from mesh.rules.static import NotStatic, Role, Roles, Static

KIND = "ServiceRole"


class Constraint(Model):
    """A property of the action, and the values that it may have."""

    key: str
    values: list[str] = Field(min_length=1)


class AccessRule(Model):
    """What a role grants: all of these together. Paths that are not given are all paths."""

    services: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    paths: list[str] = Field(default_factory=list)
    constraints: list[Constraint] = Field(default_factory=list)


class ServiceRole(Model):
    """A role; `namespace` is where the services must be that it is for, all if it is not given."""

    name: str
    namespace: str = ""
    rules: list[AccessRule] = Field(min_length=1)


class Subject(Model):
    """Who: all that is given must fit."""

    user: str = ""
    group: str = ""
    properties: dict[str, str] = Field(default_factory=dict)

    @check
    def _some(self) -> Iterator[Fault]:
        if not (self.user or self.group or self.properties):
            yield Fault("", "names nobody", 'write user, group or properties; user: "*" is everybody')


class RoleRef(Model):
    """A role by its name."""

    kind: str = KIND
    name: str

    @check
    def _kind(self) -> Iterator[Fault]:
        if self.kind != KIND:
            yield Fault("kind", f"is {self.kind!r}", f"write {KIND}")


class ServiceRoleBinding(Model):
    """Who has a role: named by `roleRef`, or in short by `role`."""

    name: str = ""
    subjects: list[Subject] = Field(min_length=1)
    role_ref: RoleRef | None = None
    role: str = ""

    @check
    def _one(self) -> Iterator[Fault]:
        if bool(self.role) == (self.role_ref is not None):
            yield Fault("role", "or roleRef must be given, and one of them only", "write role: <its name>")

    def named(self) -> str:
        """The role's name."""
        return self.role_ref.name if self.role_ref else self.role


class RbacParams(Model):
    """Roles and bindings; for how long an answer may be used again."""

    roles: list[ServiceRole] = Field(default_factory=list)
    bindings: list[ServiceRoleBinding] = Field(default_factory=list)
    cache_duration: Duration = 60.0

    @check
    def _names(self) -> Iterator[Fault]:
        names = [each.name for each in self.roles]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Fault(f"roles[{index}].name", f"is {name!r} for the second time", "rename one")
        for index, binding in enumerate(self.bindings):
            if binding.named() not in names:
                known = f"; there are {', '.join(sorted(names))}" if names else ""
                told = f"names the role {binding.named()!r}, which there is not{known}"
                yield Fault(f"bindings[{index}]", told, "add the role, or name another")


@dataclass(frozen=True, slots=True)
class Grant:
    """One rule of a role for one subject that has it."""

    namespace: str
    rule: AccessRule
    subject: Subject

    def fits(self, subject: Mapping[str, Any], action: Mapping[str, Any]) -> bool:
        """Whether it grants an action to a subject."""
        return self._grants(action) and self._for(subject)

    def _grants(self, action: Mapping[str, Any]) -> bool:
        rule, properties = self.rule, action.get("properties", {})
        return (
            self.namespace in ("", action.get("namespace", ""))
            and one_fits(rule.services, action.get("service", ""))
            and one_fits(rule.methods, action.get("method", ""))
            and (not rule.paths or one_fits(rule.paths, action.get("path", "")))
            and all(property_fits(properties, each.key, each.values) for each in rule.constraints)
        )

    def _for(self, subject: Mapping[str, Any]) -> bool:
        who, properties = self.subject, subject.get("properties", {})
        return (
            (not who.user or fits(who.user, subject.get("user", "")))
            and (not who.group or fits(who.group, subject.get("groups", "")))
            and all(property_fits(properties, key, [value]) for key, value in who.properties.items())
        )


def property_fits(properties: Mapping[str, Any], key: str, values: Sequence[str]) -> bool:
    """Whether a property is there and has one of the values."""
    return key in properties and one_fits(values, text(properties[key]))


def one_fits(patterns: Sequence[str], value: str) -> bool:
    """Whether a value fits one of some patterns."""
    return any(fits(each, value) for each in patterns)


def fits(pattern: str, value: str) -> bool:
    """Whether a value is as a pattern says.

    >>> fits("*", ""), fits("/v2/*", "/v2/a"), fits("*.b", "a.b"), fits("a", "ab")
    (True, True, True, False)
    """
    if pattern.endswith("*") and value.startswith(pattern[:-1]):
        return True
    return (pattern.startswith("*") and value.endswith(pattern[1:])) or pattern == value


def grants(params: RbacParams) -> tuple[Grant, ...]:
    """Every rule of every role for every subject that has it."""
    roles = {each.name: each for each in params.roles}
    return tuple(
        Grant(role.namespace, rule, subject)
        for binding in params.bindings
        for role in (roles[binding.named()],)
        for rule in role.rules
        for subject in binding.subjects
    )


class Rbac(Adapter[RbacParams]):
    """Looks for a grant."""

    name: ClassVar[str] = "rbac"
    templates: ClassVar[frozenset[str]] = frozenset({"authorization"})
    Params = RbacParams

    def __init__(self, params: RbacParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._grants = grants(params)
        self._yes = CheckResult(valid_seconds=params.cache_duration)
        self._no = replace(NO_ROLE, valid_seconds=params.cache_duration)

    @classmethod
    def faults(cls, params: RbacParams, types: Types) -> Iterator[Fault]:
        """Properties that no instance has."""
        for name, fields in sorted(types.items()):
            known = {key for part in ("subject", "action") for key in inner(fields.get(part))}
            for path, key in used(params):
                if key not in known:
                    told = f"is no property of the instance {name}"
                    yield Fault(path, told, f"there are {', '.join(sorted(known)) or 'none'}")

    @classmethod
    def static(cls, params: RbacParams) -> Static | NotStatic:
        """Roles as values, unless they ask for what Envoy's filter is not told."""
        found = grants(params)
        if any(each.namespace or each.rule.constraints for each in found):
            return NotStatic("a role has a namespace or constraints, which Mixer alone can tell")
        return Roles(tuple(map(role, found)))

    async def check(self, instance: Instance) -> CheckResult:
        """Allow what a role grants."""
        subject, action = instance.values.get("subject", {}), instance.values.get("action", {})
        return self._yes if any(each.fits(subject, action) for each in self._grants) else self._no


def inner(types: Any) -> set[str]:
    """The names of properties among the types of a message."""
    names = types if isinstance(types, Mapping) else {}
    return {name.partition(".")[2] for name in names if name.startswith("properties.")}


def used(params: RbacParams) -> Iterator[tuple[str, str]]:
    """The properties that are asked for, with their places."""
    for i, each in enumerate(params.roles):
        for j, rule in enumerate(each.rules):
            for k, constraint in enumerate(rule.constraints):
                yield f"roles[{i}].rules[{j}].constraints[{k}].key", constraint.key
    for i, binding in enumerate(params.bindings):
        for j, subject in enumerate(binding.subjects):
            for key in subject.properties:
                yield f"bindings[{i}].subjects[{j}].properties.{key}", key


def role(grant: Grant) -> Role:
    """A grant as a value."""
    rule, who = grant.rule, grant.subject
    return Role(
        tuple(rule.services),
        tuple(rule.paths),
        tuple(rule.methods),
        (who.user,) if who.user else (),
        (who.group,) if who.group else (),
        {key: (value,) for key, value in who.properties.items()},
    )
