"""The kubelet's probes of the application, which the injector led to the agent.

The kubelet has no certificate of the mesh, so it asks the agent, and the agent asks the application inside
the Pod, past Envoy. Source: Istio's rewriting of probes (`ISTIO_KUBE_APP_PROBERS`, paths, defaults).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.agent.environment import EnvironmentProblem

VARIABLE = "ISTIO_KUBE_APP_PROBERS"
PATH = re.compile(r"/app-health/[^/]+/(livez|readyz|startupz)")
KINDS = ("httpGet", "tcpSocket", "grpc")
DEFAULT_TIMEOUT = 1.0  # seconds, Kubernetes' own default


@dataclass(frozen=True, slots=True)
class HttpGet:
    """Ask for a path; the application's status is the answer. `headers` replace the kubelet's."""

    port: int
    path: str = "/"
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """Connect, and no more."""

    port: int


@dataclass(frozen=True, slots=True)
class Grpc:
    """Ask gRPC's health service about `service`."""

    port: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A probe that can only fail, as the kubelet's own would; `reason` says why."""

    reason: str


Action = HttpGet | TcpSocket | Grpc | Hopeless


@dataclass(frozen=True, slots=True)
class Probe:
    """What to do, and how many seconds it may take."""

    action: Action
    timeout: float = DEFAULT_TIMEOUT


def read(environment: Mapping[str, str]) -> dict[str, Probe]:
    """The probes by the path that the kubelet asks for; `EnvironmentProblem` names the one that is wrong."""
    text = environment.get(VARIABLE, "")
    if not text:
        return {}
    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            raise TypeError("expected an object, path to probe")
    except (ValueError, TypeError) as error:
        raise EnvironmentProblem(f"{VARIABLE}: {error}") from None
    return {path: probe(path, value) for path, value in given.items()}


def probe(path: str, value: Any) -> Probe:
    """One entry."""
    try:
        if not PATH.fullmatch(path):
            raise ValueError("the path must be /app-health/<container>/livez, readyz or startupz")
        return Probe(action(value), float(value.get("timeoutSeconds") or DEFAULT_TIMEOUT))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise EnvironmentProblem(f"{VARIABLE}, {path}: {reason}") from None


def action(value: Mapping[str, Any]) -> Action:
    """What a probe does."""
    kinds = [kind for kind in KINDS if value.get(kind)]
    if len(kinds) != 1:
        raise ValueError(f"expected one of {', '.join(KINDS)}, found {', '.join(kinds) or 'none'}")
    given = value[kinds[0]]
    if isinstance(given["port"], str) and not given["port"].isdecimal():
        return Hopeless(f"the container has no port named {given['port']!r}")
    port = port_of(given["port"])
    if kinds[0] == "httpGet":
        return http_get(port, given)
    return TcpSocket(port) if kinds[0] == "tcpSocket" else Grpc(port, str(given.get("service") or ""))


def http_get(port: int, given: Mapping[str, Any]) -> HttpGet:
    """An HTTP probe; its header `Host` is the name that is asked."""
    path = str(given.get("path") or "/")
    scheme = str(given.get("scheme") or "HTTP").upper()
    if scheme not in {"HTTP", "HTTPS"}:
        raise ValueError(f"scheme {scheme!r}: expected HTTP or HTTPS")
    headers = tuple((str(each["name"]), str(each["value"])) for each in given.get("httpHeaders") or ())
    return HttpGet(port, path if path.startswith("/") else f"/{path}", scheme == "HTTPS", headers)


def port_of(value: Any) -> int:
    """A port's number; the injector has replaced the names that the container gives to ports."""
    number = int(value)
    if not 0 < number < 65536:
        raise ValueError(f"port {number} is not between 1 and 65535")
    return number
