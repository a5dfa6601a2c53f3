"""AuthorizationPolicy: who may do what, and who decides.

Source: Istio's references of security.istio.io/v1 AuthorizationPolicy and of its conditions; fields are named
as there.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from mesh.api.base import Model
from mesh.api.checks import Fault, advise, check
from mesh.api.security.attributes import bad_condition, bad_values, doubtful_values
from mesh.api.security.request_authentication import one_target
from mesh.api.selector import PolicyTargetReference, WorkloadSelector

Texts = tuple[str, ...]


class Source(Model):
    """Who calls. All fields must hold; of the values of one, any."""

    principals: Texts = ()
    not_principals: Texts = ()
    request_principals: Texts = ()
    not_request_principals: Texts = ()
    namespaces: Texts = ()
    not_namespaces: Texts = ()
    service_accounts: Texts = ()
    not_service_accounts: Texts = ()
    ip_blocks: Texts = ()
    not_ip_blocks: Texts = ()
    remote_ip_blocks: Texts = ()
    not_remote_ip_blocks: Texts = ()

    @check
    def _content(self) -> Iterator[Fault]:
        yield from contents(self)

    @check
    def _accounts(self) -> Iterator[Fault]:
        others = (self.principals, self.not_principals, self.namespaces, self.not_namespaces)
        if (self.service_accounts or self.not_service_accounts) and any(others):
            remedy = "an account names its namespace already"
            yield Fault("serviceAccounts", "cannot stand beside principals or namespaces", remedy)

    @advise
    def _doubts(self) -> Iterator[Fault]:
        yield from doubts(self)


class Operation(Model):
    """What is done. All fields must hold; of the values of one, any."""

    hosts: Texts = ()
    not_hosts: Texts = ()
    ports: Texts = ()
    not_ports: Texts = ()
    methods: Texts = ()
    not_methods: Texts = ()
    paths: Texts = ()
    not_paths: Texts = ()

    @check
    def _content(self) -> Iterator[Fault]:
        yield from contents(self)

    @advise
    def _doubts(self) -> Iterator[Fault]:
        yield from doubts(self)


class From(Model):
    """An alternative of who calls."""

    source: Source | None = None

    @check
    def _some(self) -> Iterator[Fault]:
        if self.source is None:
            yield Fault("source", "is missing", "write source: {...} with at least one field")


class To(Model):
    """An alternative of what is done."""

    operation: Operation | None = None

    @check
    def _some(self) -> Iterator[Fault]:
        if self.operation is None:
            yield Fault("operation", "is missing", "write operation: {...} with at least one field")


class Condition(Model):
    """A further condition on an attribute (`key`)."""

    key: str
    values: Texts = ()
    not_values: Texts = ()

    @check
    def _content(self) -> Iterator[Fault]:
        yield from bad_condition(self.key, {"values": self.values, "notValues": self.not_values})


class AuthorizationRule(Model):
    """One of `from` calls, does one of `to`, and all of `when` hold; what is left out always holds."""

    from_: tuple[From, ...] = Field((), alias="from")
    to: tuple[To, ...] = ()
    when: tuple[Condition, ...] = ()

    @check
    def _some(self) -> Iterator[Fault]:
        for name, alias in (("from_", "from"), ("to", "to"), ("when", "when")):
            if name in self.model_fields_set and not getattr(self, name):
                yield Fault(alias, "is empty", "leave it out, or write at least one entry")


class Provider(Model):
    """Who decides about CUSTOM: a name in the mesh's extensionProviders."""

    name: str = ""


class AuthorizationPolicy(Model):
    """Evaluated in the order CUSTOM, DENY, ALLOW; AUDIT only notes."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    rules: tuple[AuthorizationRule, ...] = ()
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] = "ALLOW"
    provider: Provider | None = None

    @check
    def _target(self) -> Iterator[Fault]:
        yield from one_target(self)

    @check
    def _provider(self) -> Iterator[Fault]:
        if self.action == "CUSTOM" and not (self.provider and self.provider.name):
            remedy = "name one of the mesh's extensionProviders"
            yield Fault("provider.name", "is missing, which action CUSTOM needs", remedy)
        if self.action != "CUSTOM" and self.provider:
            yield Fault("provider", f"has no meaning for action {self.action}", "leave it out")

    @check
    def _rules(self) -> Iterator[Fault]:
        if self.action != "ALLOW" and not self.rules:
            remedy = "write rules: [{}] if every request is meant"
            yield Fault(
                "rules", f"is missing; action {self.action} without rules never does anything", remedy
            )

    @advise
    def _http_only(self) -> Iterator[Fault]:
        """On connections that are not HTTP these keys are not known (Istio: "Dependency on HTTP")."""
        for index, rule in enumerate(self.rules if self.action == "DENY" else ()):
            keys = sorted({*http_keys(rule)})
            if keys:
                message = f"on TCP ports the rule denies whatever {', '.join(keys)} say"
                yield Fault(
                    f"rules[{index}]", message, "limit it by to.operation.ports, or to HTTP workloads"
                )


HTTP_FIELDS = (
    "request_principals", "not_request_principals", "remote_ip_blocks", "not_remote_ip_blocks",
    "hosts", "not_hosts", "methods", "not_methods", "paths", "not_paths",
)  # fmt: skip


def http_keys(rule: AuthorizationRule) -> Iterator[str]:
    """The keys of a rule that only HTTP has."""
    for message in (*(each.source for each in rule.from_), *(each.operation for each in rule.to)):
        for name in HTTP_FIELDS:
            if getattr(message, name, ()):
                yield type(message).model_fields[name].alias or name if message else name
    yield from (each.key for each in rule.when if each.key.startswith("request."))
    yield from (each.key for each in rule.when if each.key == "remote.ip")


def contents(message: Source | Operation) -> Iterator[Fault]:
    """What is wrong with the values of a source or an operation."""
    values = vars(message)
    if not any(values.values()):
        yield Fault("", "is empty", "write at least one field, or leave it out to mean all")
    for name, some in values.items():
        if some:
            yield from bad_values(name, some, place(message, name))


def doubts(message: Source | Operation) -> Iterator[Fault]:
    """Which values are doubtful."""
    for name, some in vars(message).items():
        if some:
            yield from doubtful_values(name, some, place(message, name))


def place(message: Source | Operation, name: str) -> str:
    """The name of a field for people."""
    return type(message).model_fields[name].alias or name
