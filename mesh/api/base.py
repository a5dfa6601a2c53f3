"""What all configuration models have in common: immutable, camelCase outside, unknown fields refused."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

_DURATION = re.compile(r"^(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_UNITS: dict[str, Decimal | int] = {
    "h": 3600,
    "m": 60,
    "s": 1,
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
    "ns": Decimal("0.000000001"),
}
LARGEST_PORT = 65535
LARGEST_COUNT = 2**32 - 1  # Envoy counts in 32 bits
LONGEST = 315_576_000_000  # seconds: protobuf's limit


class Model(BaseModel):
    """Base of every configuration message."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True
    )
    # What a schema cannot say stands in methods marked with `mesh.api.checks.check` and `advise`.


def seconds(value: Any) -> float:
    """Seconds of a duration as Istio writes it: `5s`, `1.5s`, `1h30m`, `200ms`."""
    if not isinstance(value, str) or not _DURATION.match(value):
        raise ValueError(f"{value!r} is not a duration; write a number and a unit, like 5s, 200ms or 1m30s")
    found = _sum(value)
    if found > LONGEST:
        raise ValueError(f"{value!r} is longer than a duration may be ({LONGEST} s)")
    return found


def positive(value: float) -> float:
    """A duration of at least a millisecond, as Envoy's timers need it."""
    if value < 0.001:
        raise ValueError(f"{value:g}s is too short; it must be at least 1ms")
    return value


def _sum(value: str) -> float:
    return float(sum(Decimal(str(number)) * _UNITS[str(unit)] for number, unit in _PART.findall(value)))


def regex(value: str) -> str:
    """A regular expression that Envoy's engine, RE2, can compile."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"{value!r} is not a regular expression of RE2, which Envoy uses: {reason}"
        ) from None
    return value


def port(value: int) -> int:
    """A port number."""
    if not 0 < value <= LARGEST_PORT:
        raise ValueError(f"{value} is not a port number (1-65535)")
    return value


_LABEL = re.compile(r"^[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?\Z")


def host(value: str) -> str:
    """A host name, perhaps with a wildcard in front: `forecast`, `*.example.com`, `*`; or an IP address."""
    rest = value.removeprefix("*.") if value != "*" else "a"
    labels = rest.removesuffix(".").split(".")
    if len(value) > 253 or not all(_LABEL.match(label) and len(label) <= 63 for label in labels):
        raise ValueError(
            f"{value!r} is not a host name (a wildcard may only stand first, as in *.example.com)"
        )
    return value


def header_name(value: str) -> str:
    """A name of an HTTP header (RFC 9110), pseudo-headers of HTTP/2 included."""
    if not re.match(r"^:?[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", value):
        raise ValueError(f"{value!r} is not a header name")
    return value


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(lambda value: f"{value:g}s"),
    WithJsonSchema({"type": "string", "description": "A duration: 5s, 200ms, 1m30s."}),
]
PositiveDuration = Annotated[Duration, AfterValidator(positive)]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
Percentage = Annotated[int, Field(strict=True, ge=0, le=100)]
Regex = Annotated[str, BeforeValidator(lambda value: regex(value) if isinstance(value, str) else value)]
Port = Annotated[Whole, BeforeValidator(lambda value: port(value) if type(value) is int else value)]
Host = Annotated[str, BeforeValidator(lambda value: host(value) if isinstance(value, str) else value)]
HeaderName = Annotated[
    str, BeforeValidator(lambda value: header_name(value) if isinstance(value, str) else value)
]


def given(model: Model, *names: str) -> list[str]:
    """Which of the fields `names` the configuration sets, by the names that people write."""
    return [to_camel(name) for name in names if getattr(model, name) is not None]


def exactly_one(model: Model, *names: str) -> None:
    """Raise ValueError unless exactly one of the fields is set."""
    found = given(model, *names)
    if len(found) != 1:
        raise ValueError(
            f"exactly one of {', '.join(map(to_camel, names))} must be set, not {found or 'none'}"
        )


def at_most_one(model: Model, *names: str) -> None:
    """Raise ValueError if more than one of the fields is set."""
    found = given(model, *names)
    if len(found) > 1:
        raise ValueError(f"only one of {', '.join(map(to_camel, names))} may be set, not {found}")
