"""What pilot-agent is told by its Pod: environment variables and the downward API's files."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PODINFO = Path("/etc/istio/pod")
META_PREFIX = "ISTIO_META_"
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
PLAIN_PORT = "15010"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class EnvironmentProblem(Exception):
    """The Pod tells the agent something that makes no sense, or not enough."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What the agent obeys of Istio's `ProxyConfig` (`PROXY_CONFIG`, JSON). Durations in seconds."""

    discovery_address: str = "istio-pilot.istio-system.svc:15012"
    concurrency: int = 1
    drain_duration: float = 10.0
    termination_drain_duration: float = 5.0
    status_port: int = 15020
    admin_port: int = 15000
    delta: bool = True
    plain: bool = False
    """Speak with Pilot without TLS; only to loopback, where it may be debugged so."""
    pilot_name: str = "istio-pilot.istio-system.svc"
    """The name that Pilot's certificate must carry."""

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> "ProxySettings":
        """Read ProxyConfig as JSON; `EnvironmentProblem` names the field that is wrong."""
        try:
            given = json.loads(text or "{}")
            default = cls()
            discovery = str(given.get("discoveryAddress", default.discovery_address))
            return cls(
                discovery_address=discovery,
                plain=plain_wanted(discovery, given.get("controlPlaneAuthPolicy")),
                pilot_name=environment.get("ISTIOD_SAN") or discovery.rpartition(":")[0],
                concurrency=int(given.get("concurrency", default.concurrency)),
                drain_duration=seconds(given.get("drainDuration", "10s")),
                termination_drain_duration=seconds(given.get("terminationDrainDuration", "5s")),
                status_port=int(given.get("statusPort", default.status_port)),
                admin_port=int(given.get("proxyAdminPort", default.admin_port)),
                delta=environment.get("ISTIO_DELTA_XDS", "true").lower() != "false",
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise EnvironmentProblem(f"PROXY_CONFIG {text!r}: {error}") from None


def plain_wanted(discovery: str, policy: Any) -> bool:
    """Whether Pilot is spoken to without TLS: Istio's `controlPlaneAuthPolicy` NONE, or its port for that.

    Pilot offers that on loopback only; `ValueError` for another address, which would never be answered.
    """
    host, _, port = discovery.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"discoveryAddress {discovery!r}: expected host:port")
    local = host in LOOPBACK
    if policy in (None, "MUTUAL_TLS"):
        return policy is None and local and port == PLAIN_PORT
    if policy != "NONE":
        raise ValueError(f"controlPlaneAuthPolicy {policy!r}: expected MUTUAL_TLS or NONE")
    if not local:
        raise ValueError(
            f"controlPlaneAuthPolicy NONE with discoveryAddress {discovery!r}: Pilot serves xDS without TLS"
            " on loopback only; leave controlPlaneAuthPolicy out"
        )
    return True


@dataclass(frozen=True, slots=True)
class Pod:
    """Who this Pod is."""

    name: str
    namespace: str
    address: str
    service_account: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, podinfo: Path = PODINFO) -> "Pod":
        """Read the variables that the injector's template sets; `EnvironmentProblem` names those missing."""
        missing = [n for n in ("POD_NAME", "POD_NAMESPACE", "INSTANCE_IP") if not environment.get(n)]
        if missing:
            raise EnvironmentProblem(
                f"{', '.join(missing)} not set; the injector's template sets them by fieldRef"
            )
        return cls(
            name=environment["POD_NAME"],
            namespace=environment["POD_NAMESPACE"],
            address=environment["INSTANCE_IP"].split(",")[0],
            service_account=environment.get("SERVICE_ACCOUNT", "default"),
            labels=downward(podinfo / "labels"),
            annotations=downward(podinfo / "annotations"),
            metadata={
                k.removeprefix(META_PREFIX): plain(v)
                for k, v in environment.items()
                if k.startswith(META_PREFIX)
            },
        )


def downward(path: Path) -> dict[str, str]:
    """A downward API file: lines of `key="value"`, the value quoted as Go quotes."""
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: unquoted(value) for key, _, value in pairs}


def unquoted(text: str) -> str:
    """A string as Go quotes it; its rarer escapes (`\\a`, `\\x1b`) are Python's and not JSON's."""
    try:
        return str(json.loads(text))
    except ValueError:
        from ast import literal_eval

        try:
            return str(literal_eval(text))
        except (ValueError, SyntaxError):
            return text


def plain(text: str) -> Any:
    """A value of the environment: JSON if it is an object or a list, else the text."""
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def seconds(text: Any) -> float:
    """Seconds of a duration as Go and protobuf write it (`5s`, `1m30s`, `200ms`); `ValueError` otherwise."""
    parts = _DURATION.findall(str(text))
    if not parts or "".join(n + u for n, u in parts) != str(text):
        raise ValueError(f"{text!r} is not a duration; write it like 5s, 1m30s or 200ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
