"""handler, instance, rule: who is told or asked, what, and when.

Source: Istio 1.6's references of config.istio.io/v1alpha2 and of policy.v1beta1; named as there. What
adapters and templates take as parameters is checked by Mixer, which knows them.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from mesh.api.base import LARGEST_COUNT, HeaderName, Model, Whole, positive, seconds
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


DENOMINATORS = ("HUNDRED", "TEN_THOUSAND", "MILLION")


class RandomSampling(Model):
    """A share of the requests."""

    attribute_expression: str = ""
    percent_sampled: dict[str, Any] | None = None
    use_independent_randomness: bool = False

    @check
    def _share(self) -> Iterator[Fault]:
        if not self.attribute_expression and self.percent_sampled is None:
            yield Fault("percentSampled", "is missing", "write percentSampled: {numerator: ...}")
        share = self.percent_sampled or {}
        for name in sorted(set(share) - {"numerator", "denominator"}):
            yield Fault(f"percentSampled.{name}", "there is no such field", "write numerator, denominator")
        denominator = share.get("denominator", "HUNDRED")
        if denominator not in DENOMINATORS:
            yield Fault(
                "percentSampled.denominator",
                f"is {denominator!r:.40}",
                f"use one of {', '.join(DENOMINATORS)}",
            )
        numerator = share.get("numerator", 0)
        if type(numerator) is not int or not 0 <= numerator <= LARGEST_COUNT:
            yield Fault(
                "percentSampled.numerator", f"is {numerator!r:.40}", "write a whole number, 0 or more"
            )


class RateLimitSampling(Model):
    """A number of requests in a time."""

    sampling_duration: str = ""
    max_unsampled_entries: Whole = Field(0, ge=0)
    sampling_rate: Whole = Field(0, ge=0)

    @check
    def _time(self) -> None:
        if self.sampling_duration:
            positive(seconds(self.sampling_duration))


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
