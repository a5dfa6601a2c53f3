"""How proxies trace: `tracing` of ProxyConfig, and the providers that spans are sent to.

Source: Istio's reference of ProxyConfig (Tracing) and of MeshConfig.ExtensionProvider
(ZipkinTracingProvider, OpenTelemetryTracingProvider, HttpService, GrpcService); fields are named as there.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from mesh.api.base import Count, HeaderName, Model, Port, PositiveDuration, at_most_one, exactly_one, host
from mesh.api.checks import Fault, advise, check
from mesh.api.telemetry.telemetry import CustomTag

ZIPKIN = "zipkin.istio-system:9411"
"""Where spans go unless somebody says otherwise, as in Istio's own default."""

USUAL_SAMPLING = 1.0
"""Per cent of the requests that begin a trace, as in Istio."""

LONGEST_PATH_TAG = 256


class Zipkin(Model):
    """A collector of Zipkin v2 JSON; `address` is HOST:PORT."""

    address: str = ZIPKIN

    @check
    def _address(self) -> Iterator[Fault]:
        name, _, port = self.address.rpartition(":")
        if not (name and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            yield Fault(
                "address", f"is {self.address!r}, not HOST:PORT", f"write an address such as {ZIPKIN}"
            )


class ProxyTracing(Model):
    """Tracing as the mesh's `defaultConfig` or the annotation `proxy.istio.io/config` sets it."""

    zipkin: Zipkin | None = None
    sampling: float | None = Field(default=None, ge=0, le=100)
    custom_tags: dict[str, CustomTag] = {}
    max_path_tag_length: Count | None = None
    enable_istio_tags: bool | None = None
    lightstep: Mapping[str, Any] | None = None
    datadog: Mapping[str, Any] | None = None
    stackdriver: Mapping[str, Any] | None = None
    opencensus_agent: Mapping[str, Any] | None = None
    tls_settings: Mapping[str, Any] | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "zipkin", "lightstep", "datadog", "stackdriver", "opencensus_agent")

    @advise
    def _used(self) -> Iterator[Fault]:
        for name in ("lightstep", "datadog", "stackdriver", "opencensusAgent", "tlsSettings"):
            if name in {to_istio(each) for each in self.model_fields_set}:
                yield Fault(name, "is not used by this mesh", "name a provider of extensionProviders")


def to_istio(name: str) -> str:
    """A field's name as people write it.

    >>> to_istio("opencensus_agent")
    'opencensusAgent'
    """
    first, *rest = name.split("_")
    return first + "".join(each.capitalize() for each in rest)


class Header(Model):
    """A header that goes with each export."""

    name: HeaderName
    value: str | None = None
    env_name: str | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "value", "env_name")

    @advise
    def _unread(self) -> Iterator[Fault]:
        if self.env_name is not None:
            yield Fault("envName", "is not used by this mesh", "write the value itself")


class HttpService(Model):
    """How a provider is reached over HTTP."""

    path: str = ""
    timeout: PositiveDuration | None = None
    headers: tuple[Header, ...] = ()


class GrpcService(Model):
    """How a provider is reached over gRPC."""

    timeout: PositiveDuration | None = None
    initial_metadata: tuple[Header, ...] = ()


class TracingProvider(Model):
    """What providers of traces have in common; `service` is `[NAMESPACE/]HOST`."""

    service: str
    port: Port
    max_tag_length: Count | None = None

    @check
    def _service(self) -> None:
        host(self.service.rpartition("/")[2])


class ZipkinTracingProvider(TracingProvider):
    """A collector of Zipkin v2 JSON."""

    path: str = "/api/v2/spans"
    enable64bit_trace_id: bool = Field(
        default=False, validation_alias="enable64bitTraceId", serialization_alias="enable64bitTraceId"
    )
    trace_context_option: Literal["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"] = "USE_B3_WITH_W3C_PROPAGATION"
    timeout: PositiveDuration | None = None
    headers: tuple[Header, ...] = ()


class OpenTelemetryTracingProvider(TracingProvider):
    """A collector of OTLP, over gRPC unless `http` is given."""

    http: HttpService | None = None
    grpc: GrpcService | None = None
    resource_detectors: Mapping[str, Any] | None = None
    dynatrace_sampler: Mapping[str, Any] | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "http", "grpc")

    @advise
    def _used(self) -> Iterator[Fault]:
        for name in ("resourceDetectors", "dynatraceSampler"):
            if name in {to_istio(each) for each in self.model_fields_set}:
                yield Fault(name, "is not used by this mesh", "leave it out, or know that nothing happens")
