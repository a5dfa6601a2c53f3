"""MeshConfig: what holds for the whole mesh (ConfigMap `istio`, key `mesh`).

Source: Istio's reference of MeshConfig; the fields that this mesh obeys, named as there.
"""

from typing import Literal

import yaml
from pydantic import ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from mesh.api.base import Duration, Model
from mesh.api.errors import ConfigError, Problem
from mesh.api.networking.destination_rule import LocalityLbSetting
from mesh.model import ObjectKey

KEY = ObjectKey("ConfigMap", "istio-system", "istio")


class OutboundTrafficPolicy(Model):
    """What becomes of traffic to hosts that nobody knows."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class ProxyConfig(Model):
    """Defaults of the proxies; the agent reads them, Pilot passes over what it does not use."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True)

    discovery_address: str = "istio-pilot.istio-system.svc:15010"
    concurrency: int = 1


class MeshConfig(Model):
    """The mesh's own settings."""

    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    access_log_file: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    access_log_format: str = ""
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    connect_timeout: Duration = 10.0
    protocol_detection_timeout: Duration = 0.0
    locality_lb_setting: LocalityLbSetting | None = None
    default_config: ProxyConfig = ProxyConfig()
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)

    @classmethod
    def from_yaml(cls, text: str) -> "MeshConfig":
        """Read the ConfigMap's text; `ConfigError` names each field that is wrong."""
        try:
            return cls.model_validate(yaml.safe_load(text) or {})
        except yaml.YAMLError as error:
            raise ConfigError([Problem(KEY, "data.mesh", f"not YAML: {error}")]) from None
        except ValidationError as error:
            raise ConfigError(
                [Problem(KEY, ".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
            ) from None
