"""handler, instance, rule: who is told or asked, what, and when.

Source: Istio 1.6's references of config.istio.io/v1alpha2 and of policy.v1beta1; named as there. What
adapters and templates take as parameters is checked by Mixer, which knows them.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from mesh.api.base import HeaderName, Model
from mesh.api.checks import Fault, advise, check


class Parameters(Model):
    """What an adapter or a template takes, whatever it is."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Connection(Model):
    """Where an adapter outside Mixer is."""

    address: str
    timeout: str = ""
    authentication: dict[str, Any] | None = None


class Handler(Model):
    """An adapter with its parameters."""

    compiled_adapter: str = ""
    adapter: str = ""
    params: dict[str, Any] = {}
    connection: Connection | None = None

    @check
    def _one(self) -> Iterator[Fault]:
        yield from one_of("compiledAdapter", self.compiled_adapter, "adapter", self.adapter)


class Instance(Model):
    """A template with an expression for each of its fields."""

    compiled_template: str = ""
    template: str = ""
    params: dict[str, Any] = {}
    attribute_bindings: dict[str, str] = {}

    @check
    def _one(self) -> Iterator[Fault]:
        yield from one_of("compiledTemplate", self.compiled_template, "template", self.template)


class Action(Model):
    """A handler gets instances; `name` is for what the rule does with the answer."""

    handler: str
    instances: tuple[str, ...] = ()
    name: str = ""

    @check
    def _some(self) -> Iterator[Fault]:
        if not self.handler:
            yield Fault("handler", "is empty", "name a handler")
        if not self.instances:
            yield Fault("instances", "is empty", "name at least one instance")


class HeaderOperation(Model):
    """What happens to a header; values are expressions."""

    name: HeaderName
    values: tuple[str, ...] = ()
    operation: Literal["REPLACE", "REMOVE", "APPEND"] = "REPLACE"

    @check
    def _values(self) -> Iterator[Fault]:
        if self.operation != "REMOVE" and not self.values:
            yield Fault("values", f"is empty, so there is nothing to {self.operation}", "write an expression")

    @advise
    def _ignored(self) -> Iterator[Fault]:
        if self.operation == "REMOVE" and self.values:
            yield Fault("values", "has no meaning for REMOVE", "leave it out")


class RandomSampling(Model):
    """A share of the requests."""

    attribute_expression: str = ""
    percent_sampled: dict[str, Any] | None = None
    use_independent_randomness: bool = False


class RateLimitSampling(Model):
    """A number of requests in a time."""

    sampling_duration: str = ""
    max_unsampled_entries: int = 0
    sampling_rate: int = 0


class Sampling(Model):
    """Which reports are handed on."""

    random: RandomSampling | None = None
    rate_limit: RateLimitSampling | None = None


class Rule(Model):
    """When `match` holds (empty: always), each action is taken."""

    match: str = ""
    actions: tuple[Action, ...] = ()
    request_header_operations: tuple[HeaderOperation, ...] = ()
    response_header_operations: tuple[HeaderOperation, ...] = ()
    sampling: Sampling | None = None

    @check
    def _some(self) -> Iterator[Fault]:
        if not (self.actions or self.request_header_operations or self.response_header_operations):
            yield Fault("actions", "is empty, so nothing would come of the rule", "add an action")

    @check
    def _names(self) -> Iterator[Fault]:
        names = [action.name for action in self.actions]
        for index, name in enumerate(names):
            if name and name in names[:index]:
                yield Fault(f"actions[{index}].name", f"{name!r} stands twice", "give each its own")


def one_of(first: str, one: str, second: str, other: str) -> Iterator[Fault]:
    """Exactly one of two names must be given."""
    if bool(one) == bool(other):
        found = "both" if one else "none"
        yield Fault("", f"exactly one of {first}, {second} must be set, not {found}")
