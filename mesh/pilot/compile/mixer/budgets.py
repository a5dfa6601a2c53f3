"""Quotas of one workload alone, counted by its own proxy.

Envoy's bucket is not memquota's window: both grant the whole amount at once, and no more than twice of it in
the time of one window, but the window gives all back at its end, the bucket bit by bit. So this is done only
where the handler asks for it, by the annotation `policy.istio.io/compile: "true"`.
Source: Envoy's `extensions.filters.http.local_ratelimit.v3`, `config.route.v3.RateLimit`.
"""

from collections.abc import Iterable

from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.outcome import Reply
from mesh.pilot.compile.mixer.terms import NotHere
from mesh.pilot.mixer.settings import COMPILE
from mesh.rules import answers
from mesh.rules.adapter import QuotaResult
from mesh.rules.builder import Group
from mesh.rules.resolve import HandlerConfig, InstanceConfig, QuotaRule
from mesh.rules.static import Budget, Budgets

OWN = frozenset({"destination.uid", "destination.ip"})
"""Dimensions that make a quota one workload's own."""

SHORTEST = 0.05  # seconds in which Envoy fills a bucket


def budget(
    handler: HandlerConfig,
    instance: InstanceConfig,
    charges: Iterable[QuotaRule],
    known: Known,
    *,
    wanted: bool,
) -> Budget:
    """The budget of a quota at a place; `NotHere` says why istio-policy must keep it."""
    meaning = handler.adapter.static(handler.params)
    found = meaning.budgets.get(instance.name) if isinstance(meaning, Budgets) else None
    if found is None or found.overrides or found.seconds < SHORTEST or not found.amount:
        raise NotHere(f"quota {instance.name} is counted by istio-policy")
    if any(each.clauses or each.charge != 1 for each in charges):
        raise NotHere(f"quota {instance.name} is not taken by every request alike")
    if not own(instance, known):
        raise NotHere(f"quota {instance.name} is shared: destination.uid is none of its dimensions")
    if not wanted:
        raise NotHere(
            f"quota {instance.name}: Envoy's bucket refills bit by bit; to have it, annotate {handler.key} "
            f"with {COMPILE}"
        )
    return found


def own(instance: InstanceConfig, known: Known) -> bool:
    """Whether a quota is this workload's own, all of its dimensions being known."""
    dimensions = instance.builder.group.parts.get("dimensions")
    if not isinstance(dimensions, Group):
        return False
    every = list(dimensions.expressions())
    alone = any(each.attributes & OWN for each in every)
    return alone and all(known.decides(each.tree) for each in every)


def exhausted(handler: HandlerConfig, instance: InstanceConfig, found: Budget) -> Reply:
    """The answer to who comes too late; the next token comes after an equal part of the time."""
    result = QuotaResult(0)
    return Reply(
        answers.http_status(answers.quota_code(result)),
        answers.quota_body(result, handler.name, instance.name),
        {"retry-after": answers.retry_after(found.seconds / found.amount)},
    )
