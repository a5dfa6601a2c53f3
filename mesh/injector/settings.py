"""The injector's settings: what a sidecar is made of where no annotation says otherwise."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mesh.version import __version__

IMAGE = f"meshwright/mesh:{__version__}"


class SettingsProblem(Exception):
    """The settings cannot be used; the message names the key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Key `values` of ConfigMap `istio-sidecar-injector`, as JSON; every key may be left out.

    `policy` is `enabled` (namespaces decide) or `disabled` (only Pods that ask). `proxy_config` is
    the mesh's default `ProxyConfig`, which the agent reads.
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
    cluster_id: str = "Kubernetes"

    @classmethod
    def parse(cls, text: str) -> "Settings":
        """Read JSON; `SettingsProblem` names an unknown key or a wrong value."""
        try:
            given = json.loads(text or "{}")
        except ValueError as error:
            raise SettingsProblem(f"the injector's values are not JSON: {error}") from None
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise SettingsProblem(f"the injector's values: unknown {unknown}; known are {sorted(known)}")
        settings = cls(**given)
        if settings.policy not in {"enabled", "disabled"}:
            raise SettingsProblem(
                f"the injector's policy is {settings.policy!r}; it must be enabled or disabled"
            )
        return settings

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Read the file `values` of a mounted ConfigMap."""
        try:
            return cls.parse((folder / "values").read_text())
        except OSError as error:
            raise SettingsProblem(
                f"{folder / 'values'}: {error.strerror}; mount istio-sidecar-injector there"
            ) from None
