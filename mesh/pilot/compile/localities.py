"""How a caller's place weighs the places of a service: a distribution, or failover from near to far.

Source: Istio's reference of LocalityLoadBalancerSetting. Patterns are `region/zone/subzone`, `*` at the end.
"""

from collections.abc import Sequence

from mesh.api.networking.balancing import LocalityDistribute, LocalityLbSetting
from mesh.model import Locality

FAR = 3


def covers(pattern: str, place: Locality) -> bool:
    """Whether a pattern covers a place.

    >>> covers("eu/*", Locality("eu", "a")), covers("eu/b", Locality("eu", "a"))
    (True, False)
    """
    if pattern in ("", "*"):
        return True
    parts = (place.region, place.zone, place.subzone)
    for wanted, have in zip(pattern.split("/"), parts, strict=False):
        if wanted == "*":
            return True
        if wanted != have:
            return False
    return True


def distributed(
    here: Locality, rules: Sequence[LocalityDistribute], places: Sequence[Locality], sizes: Sequence[int]
) -> list[int] | None:
    """The weight of each place for a caller; 0 leaves it out. None if no rule is for this caller.

    Places that one pattern covers share its weight by their `sizes`.
    """
    rule = next((each for each in rules if covers(each.from_, here)), None)
    if rule is None:
        return None
    weights = [0] * len(places)
    left = set(range(len(places)))
    for pattern in sorted(rule.to, key=lambda text: (text.endswith("*"), -len(text))):
        matched = sorted(i for i in left if covers(pattern, places[i]))
        total = sum(sizes[i] for i in matched)
        for i in matched:
            weights[i] = -(-rule.to[pattern] * sizes[i] // total)
        left.difference_update(matched)
    return weights


def priorities(here: Locality, setting: LocalityLbSetting, places: Sequence[Locality]) -> list[int]:
    """The priority of each place for a caller, 0 the nearest, without gaps."""
    distances = [distance(here, setting, place) for place in places]
    order = {each: rank for rank, each in enumerate(sorted(set(distances)))}
    return [order[each] for each in distances]


def distance(here: Locality, setting: LocalityLbSetting, place: Locality) -> int:
    """How far a place is: 0 the same subzone, 1 the zone, 2 the region, then the region to fail over to."""
    if here.region == place.region:
        if here.zone != place.zone:
            return FAR - 1
        return 0 if here.subzone == place.subzone else 1
    target = next((each.to for each in setting.failover if each.from_ == here.region), None)
    return FAR if target is None or place.region == target else FAR + 1
