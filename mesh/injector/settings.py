"""The injector's settings: what a sidecar is made of where no annotation says otherwise."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from mesh.version import __version__

IMAGE = f"meshwright/mesh:{__version__}"


class SettingsProblem(Exception):
    """The settings cannot be used; the message names the key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Key `values` of ConfigMap `istio-sidecar-injector`, as JSON; every key may be left out.

    `policy` is `enabled` (namespaces decide) or `disabled` (only Pods that ask). `proxy_config` is
    the default `ProxyConfig`, which the agent reads; it lies over `defaultConfig` of the mesh configuration.
    """

    image: str = IMAGE
    policy: str = "enabled"
    log_level: str = "warning"
    proxy_config: dict[str, Any] = field(default_factory=dict)
    proxy_uid: int = 1337
    requests: dict[str, str] = field(default_factory=lambda: {"cpu": "10m", "memory": "64Mi"})
    limits: dict[str, str] = field(default_factory=lambda: {"cpu": "2", "memory": "1Gi"})
    ready_initial_delay: int = 0
    ready_period: int = 1
    ready_failure_threshold: int = 30
    mesh_id: str = "cluster.local"
    trust_domain: str = "cluster.local"
    cluster_id: str = "Kubernetes"

    @classmethod
    def parse(cls, text: str, mesh: str = "") -> "Settings":
        """Read the values (JSON) and the mesh configuration (YAML, keys `mesh` of ConfigMap `istio`).

        `SettingsProblem` names an unknown key or a wrong value.
        """
        try:
            given = json.loads(text or "{}")
        except ValueError as error:
            raise SettingsProblem(f"the injector's values are not JSON: {error}") from None
        check(given, {f.name: getattr(cls(), f.name) for f in fields(cls)})
        settings = cls(**given | {"proxy_config": default_config(mesh) | given.get("proxy_config", {})})
        if settings.policy not in {"enabled", "disabled"}:
            raise SettingsProblem(
                f"the injector's policy is {settings.policy!r}; it must be enabled or disabled"
            )
        return settings

    @classmethod
    def read(cls, folder: Path, mesh_config: Path) -> "Settings":
        """Read the file `values` of a mounted ConfigMap, and the mesh configuration if there is one."""
        try:
            mesh = mesh_config.read_text() if mesh_config.exists() else ""
            return cls.parse((folder / "values").read_text(), mesh)
        except OSError as error:
            raise SettingsProblem(
                f"{folder / 'values'}: {error.strerror}; mount istio-sidecar-injector there"
            ) from None


def check(given: Any, known: dict[str, Any]) -> None:
    """Raise `SettingsProblem` unless every key is known and of its default's type."""
    if not isinstance(given, dict):
        raise SettingsProblem("the injector's values are no JSON object")
    if unknown := sorted(set(given) - set(known)):
        raise SettingsProblem(f"the injector's values: unknown {unknown}; known are {sorted(known)}")
    for key, value in given.items():
        if type(value) is not type(known[key]):
            wanted, found = type(known[key]).__name__, type(value).__name__
            raise SettingsProblem(
                f"the injector's values: {key} is {value!r}, a {found}; it must be a {wanted}"
            )


def default_config(mesh: str) -> dict[str, Any]:
    """`defaultConfig` of a mesh configuration."""
    try:
        config = (yaml.safe_load(mesh) or {}).get("defaultConfig") or {}
        return dict(config)
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise SettingsProblem(f"the mesh configuration cannot be read: {error}") from None
