"""Who is told of a workload's calls, put together from the mesh's settings, Mixer's rules and Telemetry.

istio-telemetry is told of every call for which some rule makes a report; files and other services, by the
mesh's `accessLogFile` or by the providers that a Telemetry or `defaultProviders` names. Source: Istio's
reference of Telemetry (accessLogging, metrics) and of MeshConfig. Of Telemetry, what a narrower object says
takes the place of what wider ones say; one that only disables or filters does so to the providers in force.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from mesh.api.chosen import first
from mesh.api.logs import EnvoyFileAccessLogProvider, EnvoyTcpGrpcV3LogProvider
from mesh.api.meshconfig import MeshConfig
from mesh.api.telemetry.telemetry import AccessLogging, MetricsOverrides
from mesh.model import Proxy, ProxyKind
from mesh.pilot.mixer.ruleset import ruleset
from mesh.pilot.reader import Reader
from mesh.pilot.selection import Applying, applying
from mesh.pilot.tracing import hostname
from mesh.rules.resolve import RuleConfig, Ruleset
from mesh.rules.tags import is_metric
from mesh.rules.templates import Variety

KIND = "Telemetry"
BUILT_IN = "envoy"
"""The provider that Istio has without anybody defining it: the mesh's `accessLogFile`, or standard output."""

STDOUT = "/dev/stdout"
USUAL_INTERVAL = 5.0
"""Seconds between reports of a connection that lasts, as Istio's `reportingInterval` has it."""

API_KEY, KEY_HEADER = "request.api_key", "x-api-key"
Side = Literal["CLIENT", "SERVER"]


@dataclass(frozen=True, slots=True)
class File:
    """Lines into a file; `fields` is a JSON object in text, empty for lines of text."""

    path: str
    text: str = ""
    json: bool = False
    fields: str = ""
    omit_empty: bool = False
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """Entries to a service over gRPC (Envoy's access log service). What is empty is not sent.

    `batch` are bytes and seconds after which what has been gathered is sent; None leaves it to Envoy.
    `interval` are seconds between reports of a connection that lasts; 0 makes one at its end.
    """

    host: str
    port: int
    name: str
    http: bool = True
    tcp: bool = True
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    trailers: tuple[str, ...] = ()
    filter_state: tuple[str, ...] = ()
    batch: tuple[int, float] | None = None
    interval: float = 0.0
    told_peer: bool = False
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Logs:
    """Who is told of one side's calls."""

    files: tuple[File, ...] = ()
    streams: tuple[Stream, ...] = ()


NOBODY = Logs()


@dataclass(frozen=True, slots=True)
class Logged:
    """Both sides of a workload."""

    server: Logs = NOBODY
    client: Logs = NOBODY


def logged(read: Reader, proxy: Proxy) -> Logged:
    """Who is told of the calls that a proxy sees."""
    scopes = applying(read, KIND, proxy.namespace, proxy.labels)
    outgoing = "gateway" if proxy.kind is ProxyKind.ROUTER else "outbound"
    return Logged(one_side(read, scopes, "SERVER", "inbound"), one_side(read, scopes, "CLIENT", outgoing))


def one_side(read: Reader, scopes: Applying, side: Side, name: str) -> Logs:
    """Who is told of one side's calls; `name` is what istio-telemetry knows that side by."""
    files: list[File] = []
    streams = list(reports(read, scopes, side, name))
    for provider, condition in providers(read.mesh, scopes, side).items():
        match provided(read.mesh, provider):
            case File() as file:
                files.append(replace(file, condition=condition))
            case Stream() as stream if known(read, stream):
                streams.append(replace(stream, condition=condition))
    return Logs(tuple(files), tuple(streams))


def known(read: Reader, stream: Stream) -> bool:
    """Whether the service of a stream is there."""
    service = read.service(stream.host)
    return service is not None and service.port(stream.port) is not None


def for_side(match: Any, side: Side) -> bool:
    """Whether what a Telemetry says is for a side."""
    return match is None or match.mode in {"CLIENT_AND_SERVER", side}


# Access logs


def providers(mesh: MeshConfig, scopes: Applying, side: Side) -> dict[str, str]:
    """The names of the providers that log, each with its condition (CEL, may be empty)."""
    usual = mesh.default_providers.access_logging
    chosen = dict.fromkeys(usual or ((BUILT_IN,) if mesh.access_log_file else ()), "")
    for each in first(scopes, "access_logging"):
        entries = [entry for entry in each.spec.access_logging if for_side(entry.match, side)]
        chosen = narrowed(chosen, entries, usual or (BUILT_IN,))
    return chosen


def narrowed(wider: dict[str, str], entries: list[AccessLogging], usual: tuple[str, ...]) -> dict[str, str]:
    """What is in force after one more Telemetry; `usual` are the providers where nobody names any."""
    replaces = any(entry.providers and not entry.disabled for entry in entries)
    found = {} if replaces else dict(wider)
    for entry in entries:
        named = tuple(each.name for each in entry.providers)
        if entry.disabled:
            for name in named or tuple(found):
                found.pop(name, None)
        else:
            condition = entry.filter.expression if entry.filter else ""
            found.update(dict.fromkeys(named or tuple(found) or usual, condition))
    return found


def provided(mesh: MeshConfig, name: str) -> File | Stream | None:
    """What a provider is; None if there is none of this name, or it is no log."""
    for each in mesh.extension_providers:
        if each.name == name:
            if each.envoy_file_access_log is not None:
                return file(each.envoy_file_access_log)
            stream = each.envoy_http_als or each.envoy_tcp_als
            return to_service(stream, name, http=each.envoy_http_als is not None) if stream else None
    return built_in(mesh) if name == BUILT_IN else None


def built_in(mesh: MeshConfig) -> File:
    """The log that the mesh's own settings describe."""
    as_json = mesh.access_log_encoding == "JSON"
    fields = mesh.access_log_format if as_json else ""
    text = "" if as_json else mesh.access_log_format
    return File(mesh.access_log_file or STDOUT, text, as_json, fields)


def file(provider: EnvoyFileAccessLogProvider) -> File:
    """The log that a provider describes."""
    how = provider.log_format
    labels = how.labels if how else None
    return File(
        provider.path,
        how.text if how else "",
        labels is not None,
        json.dumps(labels, sort_keys=True) if labels else "",
        provider.omit_empty_values,
    )


def to_service(provider: EnvoyTcpGrpcV3LogProvider, name: str, *, http: bool) -> Stream:
    """The service that a provider names."""

    def headers(field: str) -> tuple[str, ...]:
        return tuple(each.lower() for each in getattr(provider, field, ()))

    return Stream(
        hostname(provider.service),
        provider.port,
        provider.log_name or name,
        http=http,
        tcp=not http,
        request_headers=headers("additional_request_headers_to_log"),
        response_headers=headers("additional_response_headers_to_log"),
        trailers=headers("additional_response_trailers_to_log"),
        filter_state=provider.filter_state_objects_to_log,
    )


# Reports to istio-telemetry


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rules make of reports: metrics, anything else; and the headers that they ask for."""

    metrics: bool = False
    others: bool = False
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()


def wanted(read: Reader) -> Wanted:
    """What all rules together make of reports."""
    if not read.mixer():
        return Wanted()
    rules: Ruleset = read.ask(ruleset)
    serving = rules.serving(Variety.REPORT)
    made = {
        is_metric(rules.instances[name].template.name, rules.handlers[action.handler].adapter.name)
        for rule in serving
        for action in rule.actions
        for name in action.instances
        if rules.instances[name].template.variety is Variety.REPORT
        and rules.instances[name].template.name != "tracespan"
    }
    request = {each.lower() for each in rules.headers(Variety.REPORT)}
    response = {each.lower() for each in rules.headers(Variety.REPORT, attribute="response.headers")}
    if any(API_KEY in names for rule in serving for names in attributes(rules, rule)):
        request.add(KEY_HEADER)
    return Wanted(
        True in made,
        False in made,
        tuple(sorted(request | {"content-type"})),
        tuple(sorted(response | {"content-type", "grpc-status"})),
    )


def attributes(rules: Ruleset, rule: RuleConfig) -> Iterator[Iterable[str]]:
    """The attributes that a rule refers to, and each of its instances."""
    if rule.match is not None:
        yield rule.match.attributes
    for action in rule.actions:
        for name in action.instances:
            yield rules.instances[name].builder.references


def reports(read: Reader, scopes: Applying, side: Side, name: str) -> Iterator[Stream]:
    """The stream to istio-telemetry, if there is somebody who wants to know."""
    mesh = read.mesh
    host, _, port = mesh.mixer_report_server.rpartition(":")
    found = read.ask(wanted) if host else Wanted()
    if not found.others and not (found.metrics and metrics_reported(scopes, side)):
        return
    stream = Stream(
        host,
        int(port),
        name,
        http=not mesh.disable_mixer_http_reports,
        request_headers=found.request_headers,
        response_headers=found.response_headers,
        trailers=("grpc-status",),
        batch=(batch_bytes(mesh), mesh.report_batch_max_time),
        interval=interval(scopes),
        told_peer=True,
    )
    if known(read, stream):
        yield stream


ENTRY = 512
"""Bytes of an entry, about: Envoy bounds batches by bytes, the mesh's settings by entries."""


def batch_bytes(mesh: MeshConfig) -> int:
    """After how many bytes a batch is sent; 0 sends each entry at once."""
    return ENTRY * mesh.report_batch_max_entries if mesh.report_batch_max_entries > 1 else 0


def interval(scopes: Applying) -> float:
    """Seconds between reports of a connection that lasts."""
    found = USUAL_INTERVAL
    for each in first(scopes, "metrics"):
        for metrics in each.spec.metrics:
            found = metrics.reporting_interval or found
    return found


def metrics_reported(scopes: Applying, side: Side) -> bool:
    """Whether any metric is left of a side: not if the narrowest word on all of them is that they are
    disabled. What becomes of single metrics is istio-telemetry's matter.
    """
    result = True
    for each in first(scopes, "metrics"):
        for metrics in each.spec.metrics:
            for override in metrics.overrides:
                result = after(result, override, side)
    return result


def after(before: bool, override: MetricsOverrides, side: Side) -> bool:
    """Whether any metric is left after one more override."""
    if override.disabled is None or not for_side(override.match, side):
        return before
    if not override.disabled:
        return True
    match = override.match
    every = match is None or (not match.custom_metric and match.metric in {None, "ALL_METRICS"})
    return before and not every
