"""QuotaSpecs and their bindings: which services' requests take how much of which quotas.

Source: Istio 1.6's reference of `mixer.v1.config.client`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.api.errors import Problem
from mesh.api.mixer import QuotaSpec, QuotaSpecBinding
from mesh.api.mixer.quota import IstioService, QuotaSpecReference, StringMatch
from mesh.model import ConfigObject, ObjectKey
from mesh.rules.expressions.functions import regex
from mesh.rules.names import Names, missing
from mesh.rules.parts import Clause, InstanceConfig, QuotaRule

DOMAIN = "svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Binding:
    """A service's full name, `*.` at its front meaning any, `*` all; and what its requests take."""

    host: str
    rules: tuple[QuotaRule, ...]

    def holds(self, service: str) -> bool:
        """Whether a service is meant."""
        if self.host.startswith("*"):
            return service.endswith(self.host[1:])
        return self.host == service


@dataclass(frozen=True, slots=True)
class Quotas:
    """All bindings, in the order of their objects; `known` are the rules of all specs, bound or not."""

    bindings: tuple[Binding, ...] = ()
    known: tuple[QuotaRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.bindings)

    def for_destination(self, service: str, namespace: str) -> tuple[QuotaRule, ...]:
        """What a request to a service takes, each quota rule once.

        `service` is its full name, or "" where it is not known: then what is bound to all services of
        `namespace` counts.
        """
        name = service or f".{namespace}.{DOMAIN}"
        found = (rule for binding in self.bindings if binding.holds(name) for rule in binding.rules)
        return tuple({id(rule): rule for rule in found}.values())

    def rules(self) -> tuple[QuotaRule, ...]:
        """All quota rules that something is bound to, each once."""
        return tuple({id(rule): rule for each in self.bindings for rule in each.rules}.values())


def quotas(
    specs: Iterable[ConfigObject], bindings: Iterable[ConfigObject], instances: Names[InstanceConfig]
) -> tuple[Quotas, list[Problem]]:
    """The bindings that hold, and what is wrong with specs and bindings."""
    problems: list[Problem] = []
    known: dict[ObjectKey, tuple[QuotaRule, ...]] = {}
    for spec in specs:
        faults = spec_problems(spec, instances)
        problems += faults
        if not faults:
            known[spec.key] = _rules(spec, instances)
    found: list[Binding] = []
    for binding in bindings:
        faults = binding_problems(binding, known)
        problems += faults
        rules = tuple(
            rule
            for each in binding.spec.quota_specs
            for rule in known.get(spec_key(each, binding.namespace), ())
        )
        if rules:
            found += [Binding(host(each, binding.namespace), rules) for each in binding.spec.services]
    return Quotas(tuple(found), tuple(rule for rules in known.values() for rule in rules)), problems


def spec_problems(obj: ConfigObject, instances: Names[InstanceConfig]) -> list[Problem]:
    """Quotas of a QuotaSpec that lead nowhere, or to an instance of another template."""
    spec: QuotaSpec = obj.spec
    found: list[Problem] = []
    for index, rule in enumerate(spec.rules):
        for place, quota in enumerate(rule.quotas):
            path = f"spec.rules[{index}].quotas[{place}].quota"
            instance = instances.find(quota.quota, obj.namespace)
            if instance is None:
                remedy = instances.near(quota.quota, obj.namespace)
                found.append(Problem(obj.key, path, missing("instance", quota.quota), remedy))
            elif instance.template.name != "quota":
                words = f"{quota.quota} is an instance of template {instance.template.name}, not of quota"
                found.append(Problem(obj.key, path, words, "name an instance of template quota"))
    return found


def binding_problems(obj: ConfigObject, specs: Mapping[ObjectKey, object]) -> list[Problem]:
    """QuotaSpecs of a QuotaSpecBinding that there are not."""
    binding: QuotaSpecBinding = obj.spec
    found: list[Problem] = []
    for index, each in enumerate(binding.quota_specs):
        key = spec_key(each, obj.namespace)
        if key not in specs:
            path = f"spec.quotaSpecs[{index}]"
            words = missing(key.kind, f"{key.namespace}/{key.name}")
            found.append(Problem(obj.key, path, words, "apply the QuotaSpec before its binding"))
    return found


def spec_key(reference: QuotaSpecReference, namespace: str) -> ObjectKey:
    """What a binding in a namespace refers to."""
    return ObjectKey("QuotaSpec", reference.namespace or namespace, reference.name)


def host(service: IstioService, namespace: str) -> str:
    """A bound service's full name; `*` alone is every service."""
    if service.service:
        return service.service
    where = service.namespace or namespace
    domain = service.domain or DOMAIN
    return f"{'*' if service.name == '*' else service.name}.{where}.{domain}"


def _rules(obj: ConfigObject, instances: Names[InstanceConfig]) -> tuple[QuotaRule, ...]:
    found: list[QuotaRule] = []
    for rule in obj.spec.rules:
        clauses = tuple(
            tuple(clause(name, match) for name, match in sorted(each.clause.items())) for each in rule.match
        )
        for quota in rule.quotas:
            instance = instances.find(quota.quota, obj.namespace)
            if instance is not None:
                found.append(QuotaRule(clauses, instance.name, quota.charge, obj.key))
    return tuple(found)


def clause(name: str, match: StringMatch) -> Clause:
    """A test of an attribute, or of a key of a map as in `request.headers[cookie]`."""
    attribute, bracket, key = name.partition("[")
    holds, said = test(match)
    return Clause(attribute, key.rstrip("]") if bracket else "", holds, said)


def test(match: StringMatch) -> tuple[Callable[[str], bool], str]:
    """What a string match tests; regular expressions must match as a whole, as in Envoy."""
    if match.exact is not None:
        return partial(_equal, match.exact), f"exact {match.exact}"
    if match.prefix is not None:
        return partial(_begins, match.prefix), f"prefix {match.prefix}"
    pattern: Any = regex(match.regex or "")
    return (lambda text: pattern.fullmatch(text) is not None), f"regex {match.regex}"


def _equal(wanted: str, text: str) -> bool:
    return text == wanted


def _begins(wanted: str, text: str) -> bool:
    return text.startswith(wanted)
