"""Quotas: which ones a call takes from, by the QuotaSpecs bound to its service, and what came of it.

A rule decides which handler keeps a quota: the first one that matches and names its instance, as in classic
Mixer. What was taken from one quota before another refused stays taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.mixer.bag import Bag
from mesh.mixer.live import BoundRule, Failure, Live, Step
from mesh.mixer.policy.metrics import PolicyMetrics
from mesh.mixer.policy.verdict import Verdict, exhausted
from mesh.rules.adapter import QuotaResult
from mesh.rules.resolve import QuotaRule
from mesh.rules.templates import Variety

SERVICES = 10_000
"""Services whose quotas are remembered; proxies could name others without end."""


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount to take, and the rules that may say where."""

    rule: QuotaRule
    keepers: tuple[tuple[BoundRule, Step], ...]


class Quotas:
    """The quotas of one configuration."""

    def __init__(self, live: Live, metrics: PolicyMetrics) -> None:
        self._live = live
        self._metrics = metrics
        self._charges: dict[tuple[str, str], tuple[Charge, ...]] = {}
        self.any = bool(live.ruleset.quotas)

    def __repr__(self) -> str:
        return f"<Quotas of {len(self._charges)} services>"

    async def taken(self, values: Mapping[str, Any], namespace: str) -> Verdict | None:
        """Take what a call takes; the refusal if there is one. Raises `Failure`."""
        charges = self._of(values.get("destination.service.host") or "", namespace)
        if not charges:
            return None
        bag = Bag(values)
        for charge in charges:
            if charge.rule.matches(bag):
                refusal = await self._charged(charge, bag)
                if refusal is not None:
                    return refusal
        return None

    async def _charged(self, charge: Charge, bag: Bag) -> Verdict | None:
        for rule, step in charge.keepers:
            if rule.matches(bag):
                result = await taken(step, bag, charge.rule.charge)
                if result.granted >= charge.rule.charge:
                    self._metrics.granted()
                    return None
                self._metrics.exhausted()
                return exhausted(result, step.handler, step.instance)
        return None

    def _of(self, host: str, namespace: str) -> tuple[Charge, ...]:
        key = (host, namespace)
        found = self._charges.get(key)
        if found is None:
            if len(self._charges) >= SERVICES:
                self._charges.clear()
            quotas = self._live.ruleset.quotas.for_destination(host, namespace)
            found = self._charges[key] = tuple(self._charge(each, namespace) for each in quotas)
        return found

    def _charge(self, rule: QuotaRule, namespace: str) -> Charge:
        keepers = tuple(
            (bound, step)
            for bound in self._live.rules(Variety.QUOTA, namespace)
            for step in bound.steps
            if step.instance == rule.quota
        )
        return Charge(rule, keepers)


async def taken(step: Step, bag: Bag, amount: int) -> QuotaResult:
    """Ask one handler for all of an amount; raises `Failure`."""
    running, instance = step.target(), step.build(bag)
    step.dispatched()
    try:
        return await running.adapter.quota(instance, amount, best_effort=False, dedup=dedup(bag, step))
    except Exception as error:
        step.failed()
        raise Failure(f"handler {step.handler}: {error or type(error).__name__}") from error


def dedup(bag: Bag, step: Step) -> str:
    """What two questions about the same call have in common: Envoy's retry asks again with all as it was.

    A caller's own retry is another call, with another time. Empty where a call has no id.
    """
    request, time = bag.get("request.id"), bag.get("request.time")
    return f"{request}@{time.timestamp()}/{step.instance}" if request and time else ""
