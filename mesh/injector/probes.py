"""Probes of the application, led to the agent: the kubelet has no certificate of the mesh (behaviour I2).

A probe by HTTP, TCP or gRPC becomes one by HTTP to the agent, at a path that names container and probe; what
it was is told to the agent. Probes by command run inside the container and stay. Source: Istio's
`sidecar.istio.io/rewriteAppHTTPProbers`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

VARIABLE = "ISTIO_KUBE_APP_PROBERS"
PATHS = {"livenessProbe": "livez", "readinessProbe": "readyz", "startupProbe": "startupz"}
ACTIONS = ("httpGet", "tcpSocket", "grpc")


def rewrite(containers: Sequence[dict[str, Any]], status_port: int) -> dict[str, Any]:
    """Change the containers' probes; what they were, by the agent's path, for the agent."""
    found: dict[str, Any] = {}
    for container in containers:
        for name, probe in probes(container, status_port):
            path = f"/app-health/{container.get('name', '')}/{PATHS[name]}"
            found[path] = told(probe, container)
            container[name] = led(probe, path, status_port)
    return found


def probes(container: Mapping[str, Any], status_port: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The probes that have to be led elsewhere: not those that run a command or ask the agent already."""
    for name in PATHS:
        probe = container.get(name) or {}
        action = next((probe[kind] for kind in ACTIONS if probe.get(kind)), None)
        if action is not None and number(action.get("port"), container) != status_port:
            yield name, probe


def told(probe: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent has to do: the action with its port as a number, and the time it may take."""
    kind = next(kind for kind in ACTIONS if probe.get(kind))
    action = {**probe[kind], "port": number(probe[kind].get("port"), container)}
    timeout = probe.get("timeoutSeconds")
    return {kind: action, **({"timeoutSeconds": timeout} if timeout else {})}


def led(probe: Mapping[str, Any], path: str, status_port: int) -> dict[str, Any]:
    """The probe that asks the agent, with the timing that it had."""
    timing = {key: value for key, value in probe.items() if key not in ACTIONS}
    return {**timing, "httpGet": {"path": path, "port": status_port}}


def number(port: Any, container: Mapping[str, Any]) -> Any:
    """A port's number; a name is that of one of the container's ports, and stays if there is none."""
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    named = (each for each in container.get("ports") or () if each.get("name") == port)
    return next((each.get("containerPort") for each in named), port)


def variable(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The agent's environment variable, if there is anything to tell."""
    return [{"name": VARIABLE, "value": json.dumps(found, sort_keys=True)}] if found else []
