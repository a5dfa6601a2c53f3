"""What `tracespan` rules make of a span: tags, and which handlers get it.

Envoy made the span; a rule completes and forwards it, and never makes a second one. Each handler gets a span
once, whatever the number of rules that send it there: the first one by the rules' order decides its tags.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from mesh.mixer.attributes.span import OUTBOUND, attributes
from mesh.mixer.attributes.workload import Workloads
from mesh.mixer.bag import Bag
from mesh.mixer.live import Failure, Live, Step
from mesh.mixer.tracing.spans import Span
from mesh.rules.templates import Variety

TEMPLATE = "tracespan"

log = structlog.get_logger(component="mixer")


class SpanRules:
    """Hands spans to the handlers of the configuration that `live` gives."""

    def __init__(self, live: Callable[[], Live], workloads: Workloads) -> None:
        self._live = live
        self._workloads = workloads
        self._failed: set[str] = set()

    def __repr__(self) -> str:
        return f"<SpanRules of {self._live()!r}>"

    def take(self, span: Span) -> Mapping[str, str]:
        """Hand a span on; gives back the tags that rules give it."""
        live = self._live()
        if not any(each.template.name == TEMPLATE for each in live.ruleset.instances.values()):
            return {}
        values = attributes(span, self._workloads)
        tags: dict[str, str] = {}
        told: set[str] = set()
        bag = Bag(values)
        for step in steps(live, bag, namespace(values)):
            tags = {**self._handed(step, bag, told), **tags}
        return tags

    def _handed(self, step: Step, bag: Bag, told: set[str]) -> dict[str, str]:
        """Hand the instance of one step to its handler, if that has not had the span; its tags."""
        try:
            instance = step.build(bag)
            if step.handler not in told:
                told.add(step.handler)
                step.target().adapter.report([instance])
                step.dispatched()
        except Exception as error:
            step.failed()
            self._complain(step, error)
            return {}
        return {name: text(value) for name, value in instance.values.get("span_tags", {}).items()}

    def _complain(self, step: Step, error: Exception) -> None:
        """Once for each handler; the rest is counted."""
        if step.handler not in self._failed:
            self._failed.add(step.handler)
            words = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            log.warning("a span was not handed on", handler=step.handler, error=words)


def steps(live: Live, bag: Bag, where: str) -> Iterator[Step]:
    """The steps of the rules that match a span."""
    for rule in live.rules(Variety.REPORT, where):
        mine = [each for each in rule.steps if each.template == TEMPLATE]
        if mine and rule.matches(bag):
            yield from mine


def namespace(values: Mapping[str, Any]) -> str:
    """The namespace whose rules count: the one of the workload whose proxy made the span."""
    side = "source" if values["context.reporter.kind"] == OUTBOUND else "destination"
    return str(values.get(f"{side}.namespace") or "")


def text(value: Any) -> str:
    """A tag's value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        from ipaddress import ip_address

        return str(ip_address(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
