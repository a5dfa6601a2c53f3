"""What memquota and redisquota have in common: their limits as parameters, and which one is for an instance.

Source: Istio 1.6's references of the two adapters.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import Field

from mesh.api.base import Duration, Model
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.windows import MICROS
from mesh.rules.static import Budget, Budgets, NotStatic, Static
from mesh.rules.types import ValueType

Amount = Annotated[int, Field(strict=True, ge=0, le=2**53)]
"""Up to what Redis's Lua counts exactly."""

BUCKETS = 10
"""Parts of a rolling window where `bucketDuration` does not say."""

Types = Mapping[str, Mapping[str, ValueType | Mapping[str, ValueType]]]


class UnknownQuota(Exception):
    """An instance for which the handler has no limit."""


class Algorithm(StrEnum):
    """When what was taken is given back."""

    FIXED_WINDOW = "FIXED_WINDOW"
    ROLLING_WINDOW = "ROLLING_WINDOW"


class Override(Model):
    """Another limit for instances with these dimensions; those that are not named may have any value."""

    dimensions: dict[str, str]
    max_amount: Amount
    valid_duration: Duration | None = None


class Quota(Model):
    """A limit for the instance `name`, for each combination of its dimensions by itself."""

    name: str
    max_amount: Amount
    valid_duration: Duration = 0.0
    bucket_duration: Duration = 0.0
    rate_limit_algorithm: Algorithm = Algorithm.FIXED_WINDOW
    overrides: list[Override] = Field(default_factory=list)

    @check
    def _bucket(self) -> Iterator[Fault]:
        bucket, whole = self.bucket_duration, self.valid_duration
        if bucket and bucket >= whole:
            yield Fault(
                "bucketDuration",
                f"is {bucket:g}s, not shorter than validDuration ({whole:g}s)",
                "write a part of it, such as a tenth",
            )


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit for an instance; times in microseconds, `length` 0 is without end, `bucket` 0 is fixed."""

    amount: int
    length: int
    bucket: int


class Limits:
    """The limits of a handler, made ready."""

    def __init__(self, quotas: Sequence[Quota]) -> None:
        self._found = {each.name: prepared(each) for each in quotas}

    def __repr__(self) -> str:
        return f"<Limits of {', '.join(sorted(self._found))}>"

    def of(self, name: str, dimensions: Mapping[str, str]) -> Limit:
        """The limit of an instance: of the first override that fits, or the quota's own."""
        if name not in self._found:
            raise UnknownQuota(f"there is no limit for {name}; there are limits for {sorted(self._found)}")
        own, overrides = self._found[name]
        for wanted, limit in overrides:
            if all(dimensions.get(key) == value for key, value in wanted.items()):
                return limit
        return own


def prepared(quota: Quota) -> tuple[Limit, tuple[tuple[Mapping[str, str], Limit], ...]]:
    """A quota's own limit, and those of its overrides."""
    overrides = tuple(
        (each.dimensions, limit(quota, each.max_amount, each.valid_duration)) for each in quota.overrides
    )
    return limit(quota, quota.max_amount, None), overrides


def limit(quota: Quota, amount: int, seconds: float | None) -> Limit:
    """A limit with the quota's algorithm; for `seconds` rather than for the quota's own time."""
    length = micros(quota.valid_duration if seconds is None else seconds)
    if quota.rate_limit_algorithm is Algorithm.FIXED_WINDOW or not length:
        return Limit(amount, length, 0)
    return Limit(amount, length, max(1, micros(quota.bucket_duration) or length // BUCKETS))


def micros(seconds: float) -> int:
    """Whole microseconds.

    >>> micros(0.1)
    100000
    """
    return round(seconds * MICROS)


def texts(dimensions: Mapping[str, Any]) -> dict[str, str]:
    """Dimensions as overrides name them."""
    return {key: text(value) for key, value in dimensions.items()}


def text(value: Any) -> str:
    """A value of an attribute as text.

    >>> text(True), text(b"\\x7f\\x00\\x00\\x01"), text(3), text("a")
    ('true', '127.0.0.1', '3', 'a')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return str(ip_address(value)) if len(value) in (4, 16) else value.hex()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return json.dumps({str(key): text(each) for key, each in value.items()}, sort_keys=True)
    return str(value)


def cell(name: str, dimensions: Mapping[str, str]) -> str:
    """The name of what is counted: the instance, and a digest of its dimensions, which callers may choose."""
    plain = json.dumps(sorted(dimensions.items()), separators=(",", ":"))
    return f"{name}/{hashlib.sha256(plain.encode(errors='surrogatepass')).hexdigest()[:32]}"


def quota_faults(quotas: Sequence[Quota], types: Types) -> Iterator[Fault]:
    """What is wrong with limits: names that stand twice or are missing, dimensions that there are not."""
    names = [each.name for each in quotas]
    for index, quota in enumerate(quotas):
        if quota.name in names[:index]:
            yield Fault(f"quotas[{index}].name", f"is {quota.name!r} for the second time", "leave one out")
        if quota.name in types:
            yield from dimension_faults(f"quotas[{index}]", quota, types)
    for name in sorted(set(types) - set(names)):
        have = f"; there are limits for {', '.join(sorted(names))}" if names else ""
        yield Fault("quotas", f"has no limit for the instance {name}{have}", f"add one with name: {name}")


def dimension_faults(path: str, quota: Quota, types: Types) -> Iterator[Fault]:
    """Overrides that can never fit."""
    found = types[quota.name].get("dimensions", {})
    known = set(found) if isinstance(found, Mapping) else set()
    for index, override in enumerate(quota.overrides):
        for name in sorted(set(override.dimensions) - known):
            yield Fault(
                f"{path}.overrides[{index}].dimensions.{name}",
                f"is no dimension of the instance {quota.name}",
                f"write one of {', '.join(sorted(known))}" if known else "give the instance dimensions",
            )


def budgets(quotas: Sequence[Quota]) -> Static:
    """Limits as a value, if all windows are fixed."""
    rolling = [each.name for each in quotas if each.rate_limit_algorithm is not Algorithm.FIXED_WINDOW]
    endless = [each.name for each in quotas if not each.valid_duration]
    if rolling or endless:
        raise NotFixed(f"{(rolling or endless)[0]} has a window that {'rolls' if rolling else 'never ends'}")
    return Budgets({each.name: budget(each) for each in quotas})


class NotFixed(Exception):
    """Limits with windows that Envoy has not."""


def static(quotas: Sequence[Quota]) -> Static | NotStatic:
    """As `Adapter.static`."""
    try:
        return budgets(quotas)
    except NotFixed as error:
        return NotStatic(str(error))


def budget(quota: Quota) -> Budget:
    """A limit as a value."""
    seconds = quota.valid_duration
    overrides = tuple(
        (each.dimensions, each.max_amount, seconds if each.valid_duration is None else each.valid_duration)
        for each in quota.overrides
    )
    return Budget(quota.max_amount, seconds, overrides)
