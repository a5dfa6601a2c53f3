"""The annotations that shape a sidecar, read once into one value, with errors that name the annotation."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
_TRAFFIC = "traffic.sidecar.istio.io/"
_SIDECAR = "sidecar.istio.io/"
_QUANTITY = re.compile(r"^\d+(\.\d+)?(m|k|M|G|Ki|Mi|Gi)?\Z")
_LEVELS = frozenset({"trace", "debug", "info", "warning", "warn", "error", "critical", "off"})


class AnnotationProblem(Exception):
    """An annotation that makes no sense: its name, its value, what is expected."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a Pod's annotations ask for; empty strings and None where they say nothing."""

    image: str = ""
    log_level: str = ""
    component_log_level: str = ""
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    proxy_config: dict[str, Any] = field(default_factory=dict)
    interception: dict[str, str] = field(default_factory=dict)
    hold_application: bool = False
    readiness: dict[str, int] = field(default_factory=dict)
    ready_probe: bool = True
    rewrite_probes: bool = True
    mounted_certificates: bool = False
    volumes: dict[str, Any] = field(default_factory=dict)
    mounts: dict[str, Any] = field(default_factory=dict)


# annotation -> flag of `pilot-agent istio-iptables`
INTERCEPTION = {
    f"{_TRAFFIC}includeInboundPorts": "-b",
    f"{_TRAFFIC}excludeInboundPorts": "-d",
    f"{_TRAFFIC}includeOutboundPorts": "-q",
    f"{_TRAFFIC}excludeOutboundPorts": "-o",
    f"{_TRAFFIC}includeOutboundIPRanges": "-i",
    f"{_TRAFFIC}excludeOutboundIPRanges": "-x",
}
READINESS = {
    f"readiness.status.{_SIDECAR}{key}": key
    for key in ("initialDelaySeconds", "periodSeconds", "failureThreshold")
}
STATUS_PORT = f"status.{_SIDECAR}port"
REWRITE = f"{_SIDECAR}rewriteAppHTTPProbers"
CERTIFICATES = "security.istio.io/certificates"
RESOURCES = {
    f"{_SIDECAR}proxyCPU": ("requests", "cpu"),
    f"{_SIDECAR}proxyMemory": ("requests", "memory"),
    f"{_SIDECAR}proxyCPULimit": ("limits", "cpu"),
    f"{_SIDECAR}proxyMemoryLimit": ("limits", "memory"),
}


def read(annotations: Mapping[str, str], defaults: Mapping[str, Any]) -> Wishes:
    """All wishes; `AnnotationProblem` at the first that is wrong. `defaults` is the mesh's ProxyConfig."""
    nothing: dict[str, Any] = {}
    config = _value(annotations, "proxy.istio.io/config", mapping, nothing)
    concurrency = _value(annotations, f"{_SIDECAR}concurrency", whole, None)
    if concurrency is not None:
        config = {**config, "concurrency": concurrency}
    status_port = _value(annotations, STATUS_PORT, whole, None)
    if status_port:
        config = {**config, "statusPort": status_port}
    holds = {**defaults, **config}.get("holdApplicationUntilProxyStarts", False)
    return Wishes(
        image=annotations.get(f"{_SIDECAR}proxyImage", ""),
        log_level=_value(annotations, f"{_SIDECAR}logLevel", level, ""),
        component_log_level=_value(annotations, f"{_SIDECAR}componentLogLevel", component_levels, ""),
        resources=resources(annotations),
        proxy_config=config,
        interception=_interception(annotations, status_port),
        hold_application=bool(holds),
        readiness={
            key: _value(annotations, name, whole, 0) for name, key in READINESS.items() if name in annotations
        },
        ready_probe=status_port != 0,
        rewrite_probes=status_port != 0 and _value(annotations, REWRITE, truth, True),
        mounted_certificates=_value(annotations, CERTIFICATES, way, False),
        volumes=_value(annotations, f"{_SIDECAR}userVolume", mapping, nothing),
        mounts=_value(annotations, f"{_SIDECAR}userVolumeMount", mapping, nothing),
    )


def _interception(annotations: Mapping[str, str], status_port: int | None) -> dict[str, str]:
    """The flags that annotations set; an agent's port of one's own is excluded as 15020 is."""
    flags = {flag: _value(annotations, name, ports if "Ports" in name else ranges, "")
             for name, flag in INTERCEPTION.items() if name in annotations}  # fmt: skip
    if status_port:
        flags["-d"] = ",".join(filter(None, [flags.get("-d", ""), str(status_port)]))
    return flags


def resources(annotations: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Requests and limits of the sidecar, as far as annotations set them."""
    found: dict[str, dict[str, str]] = {}
    for name, (kind, resource) in RESOURCES.items():
        if value := _value(annotations, name, quantity, ""):
            found.setdefault(kind, {})[resource] = value
    return found


def _value(annotations: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
    if name not in annotations:
        return default
    try:
        return parse(annotations[name])
    except ValueError as error:
        raise AnnotationProblem(f"annotation {name}: {annotations[name]!r}: {error}") from None


def ports(text: str) -> str:
    """A list of port numbers, or `*`."""
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part != "*" and not (part.isdecimal() and 0 < int(part) < 65536):
            raise ValueError(f"{part!r} is not a port (1-65535); write a list like 8080,9090, or *")
    return text.replace(" ", "")


def ranges(text: str) -> str:
    """A list of CIDRs, or `*`."""
    import ipaddress

    for part in filter(None, (p.strip() for p in text.split(","))):
        if part != "*":
            ipaddress.ip_network(part)
    return text.replace(" ", "")


def quantity(text: str) -> str:
    """A resource quantity."""
    if not _QUANTITY.match(text):
        raise ValueError("not a quantity; write it like 100m, 0.5 or 128Mi")
    return text


def level(text: str) -> str:
    """A log level of Envoy's."""
    if text not in _LEVELS:
        raise ValueError(f"not a log level; use one of {', '.join(sorted(_LEVELS))}")
    return text


def component_levels(text: str) -> str:
    """Log levels of Envoy's parts, such as `upstream:debug,http:trace`."""
    for part in text.split(","):
        component, colon, its_level = part.partition(":")
        if not component or not colon:
            raise ValueError(f"{part!r} is not COMPONENT:LEVEL; write a list like upstream:debug,http:trace")
        level(its_level)
    return text


def whole(text: str) -> int:
    """A whole number."""
    if not text.isdecimal():
        raise ValueError("not a whole number")
    return int(text)


def truth(text: str) -> bool:
    """`true` or `false`."""
    if text.lower() not in {"true", "false"}:
        raise ValueError("write true or false")
    return text.lower() == "true"


def way(text: str) -> bool:
    """How certificates come: whether from a mounted Secret."""
    if text not in {"sds", "secret"}:
        raise ValueError(
            "write secret (a mounted Secret istio.<account>) or sds (from Citadel, by the agent)"
        )
    return text == "secret"


def mapping(text: str) -> dict[str, Any]:
    """A YAML or JSON mapping."""
    try:
        value = yaml.safe_load(text)
        json.dumps(value)
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"not YAML: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not a mapping; write it like 'concurrency: 2'")  # noqa: TRY004 - one class for the caller
    return value
