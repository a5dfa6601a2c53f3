"""The conditions of an object: whether it is valid, and how many proxies have accepted it. Pure.

Source of the form: Kubernetes' conditions (`metav1.Condition`), as Istio's status has them.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mesh.api.errors import ConfigError
from mesh.galley.board import Report

LONGEST = 1024  # characters of a message
MOST = 3  # reasons that are shown in full


def accepted(error: ConfigError | None, generation: int) -> dict[str, Any]:
    """Whether the object can be used."""
    if error is None:
        return condition("Accepted", "True", "Valid", "the object is valid", generation)
    texts = [f"{each.path}: {each.message}" for each in error.problems]
    return condition("Accepted", "False", "Invalid", shown(texts), generation)


def programmed(report: Report, generation: int) -> dict[str, Any]:
    """How many of the proxies that it concerns have accepted the object."""
    counts = f"{report.acked} of {report.proxies} proxies have acknowledged it"
    if report.errors:
        text = f"{counts}; refused: {shown(report.errors)}"
        return condition("Programmed", "False", "Rejected", text, generation)
    if report.proxies == 0:
        return condition("Programmed", "True", "NotUsed", "no proxy is concerned", generation)
    if report.acked < report.proxies:
        return condition("Programmed", "False", "Pending", counts, generation)
    return condition("Programmed", "True", "Programmed", counts, generation)


def shown(reasons: Iterable[str]) -> str:
    """The first reasons, and how many more there are."""
    every = list(reasons)
    more = f"; and {len(every) - MOST} more" if len(every) > MOST else ""
    return "; ".join(every[:MOST])[: LONGEST - len(more)] + more


def condition(kind: str, status: str, reason: str, message: str, generation: int) -> dict[str, Any]:
    """One condition, without its time."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


def merged(
    before: Mapping[str, Any], conditions: Iterable[dict[str, Any]], generation: int, now: datetime
) -> dict[str, Any] | None:
    """The status to write; None if what stands there says the same already.

    Others' conditions and fields stay. A condition's time changes only with its status.
    """
    old = {each.get("type"): each for each in listed(before.get("conditions"))}
    new = dict(old)
    for each in conditions:
        known = old.get(each["type"], {})
        same = known.get("status") == each["status"]
        since = known.get("lastTransitionTime") if same else None
        new[each["type"]] = {**each, "lastTransitionTime": since or stamp(now)}
    if new == old and before.get("observedGeneration") == generation:
        return None
    return {"observedGeneration": generation, "conditions": list(new.values())}


def listed(value: Any) -> list[dict[str, Any]]:
    """The conditions of a status, whatever somebody has written there."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def stamp(now: datetime) -> str:
    """A time as Kubernetes writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
