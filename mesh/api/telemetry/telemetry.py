"""Telemetry: which metrics, access logs and traces workloads give.

Source: Istio's reference of telemetry.istio.io/v1 Telemetry; every field is named as there.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from mesh.api.base import Model, PositiveDuration, exactly_one
from mesh.api.checks import Fault, check
from mesh.api.security.request_authentication import one_target
from mesh.api.selector import PolicyTargetReference, WorkloadSelector

Mode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]
Metric = Literal[
    "ALL_METRICS", "REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS", "TCP_CLOSED_CONNECTIONS", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES",
]  # fmt: skip


class ProviderRef(Model):
    """A provider of the mesh's extensionProviders, by its name."""

    name: str

    @check
    def _name(self) -> Iterator[Fault]:
        if not self.name:
            yield Fault("name", "is empty", "name one of the mesh's extensionProviders")


class TracingSelector(Model):
    """Which side."""

    mode: Mode = "CLIENT_AND_SERVER"


class FixedValue(Model):
    """A fixed value."""

    value: str


class Environment(Model):
    """A variable of the proxy's environment."""

    name: str
    default_value: str = ""


class RequestHeader(Model):
    """A header of the request."""

    name: str
    default_value: str = ""


class Formatter(Model):
    """A value in Envoy's form of access logs."""

    value: str


class CustomTag(Model):
    """Where a tag's value comes from."""

    literal: FixedValue | None = None
    environment: Environment | None = None
    header: RequestHeader | None = None
    formatter: Formatter | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "literal", "environment", "header", "formatter")


class Tracing(Model):
    """Traces."""

    match: TracingSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    random_sampling_percentage: float | None = Field(None, ge=0, le=100)
    disable_span_reporting: bool | None = None
    custom_tags: dict[str, CustomTag] = {}
    use_request_id_for_trace_sampling: bool | None = None
    enable_istio_tags: bool | None = None
    disable_context_propagation: bool | None = None


class MetricSelector(Model):
    """Which metrics of which side."""

    metric: Metric | None = None
    custom_metric: str | None = None
    mode: Mode = "CLIENT_AND_SERVER"

    @check
    def _one(self) -> Iterator[Fault]:
        if self.metric and self.custom_metric:
            yield Fault("", "only one of metric, customMetric may be set")


class TagOverride(Model):
    """What becomes of a label."""

    operation: Literal["UPSERT", "REMOVE"] = "UPSERT"
    value: str = ""

    @check
    def _value(self) -> Iterator[Fault]:
        if self.operation == "UPSERT" and not self.value:
            yield Fault("value", "is missing, which UPSERT needs", "write an expression of attributes")
        if self.operation == "REMOVE" and self.value:
            yield Fault("value", "has no meaning for REMOVE", "leave it out")


class MetricsOverrides(Model):
    """What becomes of metrics."""

    match: MetricSelector | None = None
    disabled: bool | None = None
    tag_overrides: dict[str, TagOverride] = {}


class Metrics(Model):
    """Metrics."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverrides, ...] = ()
    reporting_interval: PositiveDuration | None = None


class LogSelector(Model):
    """Which side."""

    mode: Mode = "CLIENT_AND_SERVER"


class Filter(Model):
    """Which requests, as a CEL expression."""

    expression: str

    @check
    def _expression(self) -> Iterator[Fault]:
        """Envoy would refuse the whole listener."""
        import cel  # it takes a while, and few filter their logs

        try:
            cel.compile(self.expression)
        except ValueError as error:
            words = str(error).partition("ERROR: ")[2].partition("\n")[0] or str(error)
            yield Fault("expression", f"is no CEL: {words}", "write one such as response.code >= 500")


class AccessLogging(Model):
    """Access logs."""

    match: LogSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: bool | None = None
    filter: Filter | None = None


class Telemetry(Model):
    """For the workloads of the selector, or for the namespace; in the root namespace for the mesh."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    tracing: tuple[Tracing, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()

    @check
    def _target(self) -> Iterator[Fault]:
        yield from one_target(self)
