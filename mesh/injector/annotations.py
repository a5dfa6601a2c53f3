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
_QUANTITY = re.compile(r"^\d+(\.\d+)?(m|k|M|G|Ki|Mi|Gi)?$")
_LEVELS = frozenset({"trace", "debug", "info", "warning", "warn", "error", "critical", "off"})


class AnnotationProblem(Exception):
    """An annotation that makes no sense: its name, its value, what is expected."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a Pod's annotations ask for; empty strings and None where they say nothing."""

    image: str = ""
    log_level: str = ""
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    proxy_config: dict[str, Any] = field(default_factory=dict)
    interception: dict[str, str] = field(default_factory=dict)
    hold_application: bool = False


# annotation -> flag of `pilot-agent istio-iptables`
INTERCEPTION = {
    f"{_TRAFFIC}includeInboundPorts": "-b",
    f"{_TRAFFIC}excludeInboundPorts": "-d",
    f"{_TRAFFIC}includeOutboundPorts": "-q",
    f"{_TRAFFIC}excludeOutboundPorts": "-o",
    f"{_TRAFFIC}includeOutboundIPRanges": "-i",
    f"{_TRAFFIC}excludeOutboundIPRanges": "-x",
}
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
    if concurrency := _value(annotations, f"{_SIDECAR}concurrency", whole, None):
        config = {**config, "concurrency": concurrency}
    holds = {**defaults, **config}.get("holdApplicationUntilProxyStarts", False)
    return Wishes(
        image=annotations.get(f"{_SIDECAR}proxyImage", ""),
        log_level=_value(annotations, f"{_SIDECAR}logLevel", level, ""),
        resources=resources(annotations),
        proxy_config=config,
        interception=_interception(annotations),
        hold_application=bool(holds),
    )


def _interception(annotations: Mapping[str, str]) -> dict[str, str]:
    return {flag: _value(annotations, name, ports if "Ports" in name else ranges, "")
            for name, flag in INTERCEPTION.items() if name in annotations}  # fmt: skip


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


def whole(text: str) -> int:
    """A whole number."""
    if not text.isdecimal():
        raise ValueError("not a whole number")
    return int(text)


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
