"""The VirtualService in each step, made from the one that was there: everything else in it stays.

Each destination adds a header to its answers that tells the side, Envoy's own answers (such as 503) included.
"""

import copy
from collections.abc import Iterator
from typing import Any

from loadtests.canary.errors import CanaryError
from loadtests.canary.rollout import Rollout, Step, Version

SIDE = "x-canary-side"
BASELINE, CANARY = "baseline", "canary"
Obj = dict[str, Any]


def at_weight(spec: Obj, rollout: Rollout, weight: int) -> Obj:
    """`weight` per cent to the canary."""
    return _changed(spec, rollout, lambda route: [_split(route, rollout, weight)])


def promoted(spec: Obj, rollout: Rollout) -> Obj:
    """The canary alone, without anything of the rollout."""

    def alone(route: Obj) -> list[Obj]:
        return [{**route, "route": [entry_of(route, rollout, rollout.spec.canary)]}]

    return _changed(spec, rollout, alone)


def in_step(spec: Obj, rollout: Rollout, step: Step, weight: int) -> Obj:
    """The rule of a step; `weight` is that which the steps before have left."""
    if step.weight is not None:
        return at_weight(spec, rollout, step.weight)
    if step.header is not None:
        return _changed(spec, rollout, lambda route: _by_header(route, rollout, step, weight))
    if step.mirror is not None:
        return _changed(spec, rollout, lambda route: [_mirrored(route, rollout, step, weight)])
    return at_weight(spec, rollout, weight)


def _changed(spec: Obj, rollout: Rollout, change: Any) -> Obj:
    made = copy.deepcopy(spec)
    chosen = set(chosen_routes(made, rollout))
    http: list[Obj] = []
    for index, route in enumerate(made["http"]):
        http += change(route) if index in chosen else [route]
    return {**made, "http": http}


def chosen_routes(spec: Obj, rollout: Rollout) -> Iterator[int]:
    """The numbers of the HTTP routes that the rollout changes; `CanaryError` if there is none."""
    wanted, found = rollout.spec.routes, 0
    for index, route in enumerate(spec.get("http") or ()):
        if wanted and route.get("name") not in wanted:
            continue
        if any(_is(each, rollout.spec.baseline) for each in route.get("route") or ()):
            _check(route, rollout)
            found += 1
            yield index
    if not found:
        named = f" among those named {', '.join(wanted)}" if wanted else ""
        raise CanaryError(
            f"VirtualService {rollout.namespace}/{rollout.spec.virtual_service} has no HTTP route{named} "
            f"to subset {rollout.spec.baseline.subset!r}, the baseline",
            remedy="name in spec.baseline the subset that serves now",
        )


def _check(route: Obj, rollout: Rollout) -> None:
    others = [
        each.get("destination", {})
        for each in route["route"]
        if not _is(each, rollout.spec.baseline) and not _is(each, rollout.spec.canary)
    ]
    if others:
        raise CanaryError(
            f"VirtualService {rollout.namespace}/{rollout.spec.virtual_service}: a route splits to "
            f"{others[0].get('host')} {others[0].get('subset', '')} too, neither baseline nor canary",
            remedy="roll out on a rule with these two alone, or name other routes in spec.routes",
        )
    if "mirror" in route and any(step.mirror is not None for step in rollout.spec.steps):
        raise CanaryError(
            f"VirtualService {rollout.namespace}/{rollout.spec.virtual_service}: a route mirrors already",
            remedy="leave out the mirror step, or write the rule's mirror as mirrors",
        )


def _is(entry: Obj, version: Version) -> bool:
    destination = entry.get("destination") or {}
    return destination.get("subset") == version.subset and (
        not version.host or destination.get("host") == version.host
    )


def entry_of(route: Obj, rollout: Rollout, version: Version) -> Obj:
    """The entry of a version, as it is or made after the baseline's."""
    for entry in route["route"]:
        if _is(entry, version):
            return {key: value for key, value in entry.items() if key != "weight"}
    base = next(each for each in route["route"] if _is(each, rollout.spec.baseline))
    target = {**base["destination"], "subset": version.subset}
    return {**{k: v for k, v in base.items() if k != "weight"}, "destination": target} | (
        {"destination": {**target, "host": version.host}} if version.host else {}
    )


def _marked(entry: Obj, side: str, weight: int) -> Obj:
    headers = copy.deepcopy(entry.get("headers") or {})
    headers.setdefault("response", {}).setdefault("set", {})[SIDE] = side
    return {**entry, "headers": headers, "weight": weight}


def _split(route: Obj, rollout: Rollout, weight: int) -> Obj:
    sides = ((BASELINE, rollout.spec.baseline, 100 - weight), (CANARY, rollout.spec.canary, weight))
    return {**route, "route": [_marked(entry_of(route, rollout, v), side, w) for side, v, w in sides]}


def _by_header(route: Obj, rollout: Rollout, step: Step, weight: int) -> list[Obj]:
    assert step.header is not None
    match = {step.header.name: {"exact": step.header.exact}}
    matches = [
        {**each, "headers": {**(each.get("headers") or {}), **match}} for each in route.get("match") or [{}]
    ]
    tried = {**_split(route, rollout, 100), "match": matches}
    if route.get("name"):
        tried["name"] = f"{route['name']}-canary"
    return [tried, _split(route, rollout, weight)]


def _mirrored(route: Obj, rollout: Rollout, step: Step, weight: int) -> Obj:
    target = entry_of(route, rollout, rollout.spec.canary)["destination"]
    mirror = {"destination": target, "percentage": {"value": step.mirror}}
    return {**_split(route, rollout, weight), "mirrors": [*(route.get("mirrors") or ()), mirror]}
