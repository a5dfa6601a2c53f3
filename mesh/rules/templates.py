"""Templates: which fields an instance has, of which types, and how one is made from attributes.

Source: Istio 1.6's references of each template. Fields may be written in either case (`spanTags`,
`span_tags`); values are expressions, and plain numbers and booleans stand for themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mesh.rules.types import ValueType as V


class Variety(StrEnum):
    """When instances are made: before a call, for its quotas, or afterwards."""

    CHECK = "CHECK"
    QUOTA = "QUOTA"
    REPORT = "REPORT"


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 - Any means something else here
    """A value of any type (Istio: Value)."""


@dataclass(frozen=True, slots=True)
class MapOf:
    """Names chosen by who writes the instance, each with an expression of a type."""

    value: V | Any_ = Any_()


@dataclass(frozen=True, slots=True)
class Message:
    """Fields within a field."""

    fields: "Mapping[str, Field]"


Field = V | Any_ | MapOf | Message
ANY = Any_()


@dataclass(frozen=True, slots=True)
class Template:
    """A template; `required` fields must be given, and fail the instance if an attribute is absent."""

    name: str
    variety: Variety
    fields: Mapping[str, Field] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


def _template(name: str, variety: Variety, required: str = "", /, **fields: Field) -> Template:
    return Template(name, variety, MappingProxyType(fields), frozenset(required.split()))


def _strings(words: str) -> dict[str, Field]:
    return dict.fromkeys(words.split(), V.STRING)


_MONITORED: dict[str, Field] = {
    "monitored_resource_type": V.STRING,
    "monitored_resource_dimensions": MapOf(ANY),
}
_SPAN: dict[str, Field] = {
    **_strings("trace_id span_id parent_span_id span_name"),
    "start_time": V.TIMESTAMP,
    "end_time": V.TIMESTAMP,
    "span_tags": MapOf(ANY),
    "http_status_code": V.INT64,
    "client_span": V.BOOL,
    "rewrite_client_span_id": V.BOOL,
    **_strings("source_name destination_name api_protocol"),
    "source_ip": V.IP_ADDRESS,
    "destination_ip": V.IP_ADDRESS,
    **dict.fromkeys(("request_size", "request_total_size", "response_size", "response_total_size"), V.INT64),
}
_ALL = (
    _template("checknothing", Variety.CHECK),
    _template("listentry", Variety.CHECK, "value", value=ANY),
    _template(
        "authorization",
        Variety.CHECK,
        subject=Message({**_strings("user groups"), "properties": MapOf(ANY)}),
        action=Message({**_strings("namespace service method path"), "properties": MapOf(ANY)}),
    ),
    _template(
        "apikey",
        Variety.CHECK,
        "api_key",
        **_strings("api api_version api_operation api_key"),
        timestamp=V.TIMESTAMP,
    ),
    _template("quota", Variety.QUOTA, "dimensions", dimensions=MapOf(ANY)),
    _template("metric", Variety.REPORT, "value dimensions", value=ANY, dimensions=MapOf(ANY), **_MONITORED),
    _template(
        "logentry",
        Variety.REPORT,
        variables=MapOf(ANY),
        timestamp=V.TIMESTAMP,
        severity=V.STRING,
        **_MONITORED,
    ),
    _template("tracespan", Variety.REPORT, **_SPAN),
    _template("reportnothing", Variety.REPORT),
)
TEMPLATES: Mapping[str, Template] = MappingProxyType({each.name: each for each in _ALL})
"""The templates that adapters serve, by name."""

OPTIONAL_MAPS = frozenset({"dimensions"})
"""Required maps that may be left out: a quota or metric without dimensions is one for all."""
