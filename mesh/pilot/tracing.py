"""How a workload's calls are traced, put together from the mesh's settings, its annotation and Telemetry.

Source: Istio's reference of Telemetry (tracing), of ProxyConfig (tracing) and of MeshConfig
(`enableTracing`, `defaultProviders`). What a narrower Telemetry says of a field takes the place of what a
wider one says; tags are replaced as a whole. Spans go to the provider that a Telemetry or `defaultProviders`
names, else to the address of `tracing.zipkin`; to nobody if that service is not there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from mesh.api.checks import faults
from mesh.api.telemetry.telemetry import CustomTag, RequestHeader
from mesh.api.telemetry.telemetry import Tracing as TracingRule
from mesh.api.tracing import (
    LONGEST_PATH_TAG,
    USUAL_SAMPLING,
    ZIPKIN,
    OpenTelemetryTracingProvider,
    ProxyTracing,
    ZipkinTracingProvider,
)
from mesh.model import ConfigObject, Proxy
from mesh.pilot.hosts import full
from mesh.pilot.mixer.ruleset import ruleset
from mesh.pilot.reader import Reader
from mesh.pilot.selection import Applying, applying
from mesh.pilot.tables import spread

KIND = "Telemetry"
ANNOTATION = "proxy.istio.io/config"
HEADER_TAG = "http.request.header."
"""Before the names of tags that carry headers which rules of Mixer refer to (OpenTelemetry's convention)."""

TEMPLATE = "tracespan"
TOLD = frozenset({":authority", ":method", ":path", "user-agent", "x-request-id"})
"""Headers that Envoy's tags tell anyway."""

Provider = ZipkinTracingProvider | OpenTelemetryTracingProvider
Side = Literal["CLIENT", "SERVER"]
Tags = tuple[tuple[str, CustomTag], ...]


@dataclass(frozen=True, slots=True)
class Tracing:
    """How one side of a workload traces: `sampling` in per cent of the requests that begin a trace;
    `host` is the full name of the provider's service.
    """

    side: Side
    sampling: float
    provider: Provider
    host: str
    tags: Tags = ()
    path_length: int = LONGEST_PATH_TAG
    istio_tags: bool = True
    by_request_id: bool = True


@dataclass(frozen=True, slots=True)
class Traced:
    """Both sides of a workload; None traces nothing."""

    server: Tracing | None = None
    client: Tracing | None = None


UNTRACED = Traced()


def traced(read: Reader, proxy: Proxy) -> Traced:
    """How the calls that a proxy sees are traced."""
    config = proxy_tracing(read.mesh.default_config.tracing, annotation(proxy.metadata))
    rules = tuple(each for scope in scopes(read, proxy) for each in scope.spec.tracing)
    headers = read.ask(headers_wanted)
    where = proxy.namespace
    return Traced(
        one_side(read, where, rules, config, "SERVER", headers),
        one_side(read, where, rules, config, "CLIENT", headers),
    )


def scopes(read: Reader, proxy: Proxy) -> tuple[ConfigObject, ...]:
    """The Telemetry objects that count, from wide to narrow: the oldest of each scope that says something."""
    found: Applying = applying(read, KIND, proxy.namespace, proxy.labels)
    first = (next((each for each in scope if each.spec.tracing), None) for scope in found)
    return tuple(each for each in first if each is not None)


def one_side(
    read: Reader,
    namespace: str,
    rules: tuple[TracingRule, ...],
    config: ProxyTracing,
    side: Side,
    headers: tuple[str, ...],
) -> Tracing | None:
    """How one side traces; None if it does not."""
    mine = [each for each in rules if for_side(each, side)]
    if (not rules and not read.mesh.enable_tracing) or last(mine, "disable_span_reporting", False):
        return None
    provider = provider_of(read, mine, config)
    host = hostname(provider.service) if provider else ""
    if provider is None or not reached(read, namespace, host, provider.port):
        return None
    sampling = last(mine, "random_sampling_percentage", config.sampling)
    tags = last([each for each in mine if each.custom_tags], "custom_tags", config.custom_tags)
    return Tracing(
        side,
        USUAL_SAMPLING if sampling is None else sampling,
        provider,
        host,
        with_headers(tags, headers),
        path_length(provider, config),
        last(mine, "enable_istio_tags", config.enable_istio_tags is not False),
        last(mine, "use_request_id_for_trace_sampling", True),
    )


def reached(read: Reader, namespace: str, host: str, port: int) -> bool:
    """Whether workloads of a namespace have a cluster for a port of a service: Envoy refuses a listener whose
    collector's cluster it does not have.
    """
    service = read.service(host)
    if service is None or service.port(port) is None:
        return False
    seen = spread(service.export_to or read.mesh.default_service_export_to, service.namespace)
    return "*" in seen or namespace in seen


def for_side(rule: TracingRule, side: Side) -> bool:
    """Whether a rule is for a side."""
    return rule.match is None or rule.match.mode in {"CLIENT_AND_SERVER", side}


def last(rules: Iterable[TracingRule], name: str, otherwise: Any) -> Any:
    """A field as the narrowest rule says it."""
    found = [getattr(each, name) for each in rules]
    given = [each for each in found if each is not None]
    return given[-1] if given else otherwise


def provider_of(read: Reader, rules: list[TracingRule], config: ProxyTracing) -> Provider | None:
    """Who gets the spans. A provider that is named but not there, or of another kind, gets none."""
    named = [each.providers for each in rules if each.providers]
    names = [each.name for each in named[-1]] if named else list(read.mesh.default_providers.tracing)
    if not names:
        return collector(config)
    known = {each.name: each for each in read.mesh.extension_providers}
    for each in (known[name] for name in names if name in known):
        if each.zipkin is not None:
            return each.zipkin
        if each.opentelemetry is not None:
            unread = {"resource_detectors": None, "dynatrace_sampler": None}
            return each.opentelemetry.model_copy(update=unread)
    return None


def collector(config: ProxyTracing) -> ZipkinTracingProvider:
    """The collector of the proxy's own settings."""
    host, _, port = (config.zipkin.address if config.zipkin else ZIPKIN).rpartition(":")
    return ZipkinTracingProvider(service=host, port=int(port))


def hostname(service: str) -> str:
    """The full name of a service: `[NAMESPACE/]HOST`, or `NAME.NAMESPACE` as in `zipkin.istio-system`.

    >>> hostname("zipkin.istio-system"), hostname("tools/jaeger"), hostname("traces.example.com")
    ('zipkin.istio-system.svc.cluster.local', 'jaeger.tools.svc.cluster.local', 'traces.example.com')
    """
    namespace, _, host = service.rpartition("/")
    parts = host.removesuffix(".svc").split(".")
    if not namespace and len(parts) == 2:
        host, namespace = parts
    return full(host, namespace or "default")


def path_length(provider: Provider, config: ProxyTracing) -> int:
    """How much of the path a span tells (bytes)."""
    for each in (provider.max_tag_length, config.max_path_tag_length):
        if each is not None:
            return each
    return LONGEST_PATH_TAG


def with_headers(tags: Mapping[str, CustomTag], headers: tuple[str, ...]) -> Tags:
    """Tags in order of their names, with those for headers that rules of Mixer refer to."""
    wanted = {f"{HEADER_TAG}{name}": CustomTag(header=RequestHeader(name=name)) for name in headers}
    return tuple(sorted({**wanted, **tags}.items(), key=lambda each: each[0]))


def headers_wanted(read: Reader) -> tuple[str, ...]:
    """The request headers that `tracespan` rules refer to, without those that every span tells."""
    if not read.mixer():
        return ()
    wanted = read.ask(ruleset).headers(TEMPLATE)
    return tuple(sorted(each for each in wanted if each not in TOLD and not each.startswith("x-b3-")))


# The proxy's own settings


def proxy_tracing(default: ProxyTracing | None, own: ProxyTracing | None) -> ProxyTracing:
    """The mesh's default, with what the Pod's annotation sets in its place."""
    base = default or ProxyTracing()
    if own is None:
        return base
    return base.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def annotation(metadata: Mapping[str, Any]) -> ProxyTracing | None:
    """What the Pod's annotation says; None if it says nothing, or nothing that is right."""
    text = (metadata.get("ANNOTATIONS") or {}).get(ANNOTATION)
    return read_annotation(str(text)) if text else None


@lru_cache(maxsize=1024)
def read_annotation(text: str) -> ProxyTracing | None:
    """The part `tracing` of a ProxyConfig in YAML."""
    try:
        found = yaml.safe_load(text)
        given = found.get("tracing") if isinstance(found, dict) else None
        result = ProxyTracing.model_validate(given) if given is not None else None
    except (yaml.YAMLError, ValidationError, ValueError, RecursionError):
        return None
    return result if result is None or not any(faults(result, "tracing")) else None
