"""MeshConfig: what holds for the whole mesh (ConfigMap `istio`, key `mesh`).

Source: Istio's reference of MeshConfig; the fields that this mesh obeys, named as there. Istio's other fields
are accepted, and `advice_of` says that nothing comes of them; what is no field of Istio's is refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import yaml
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from mesh.api.base import Count, Duration, Model, PositiveDuration
from mesh.api.checks import Fault, advice, check
from mesh.api.errors import ConfigError, Problem
from mesh.api.extensions import (
    EnvoyExternalAuthorizationGrpcProvider,
    EnvoyExternalAuthorizationHttpProvider,
    EnvoyExternalAuthorizationRequestBody,
    ExtensionProvider,
)
from mesh.api.networking.balancing import LocalityLbSetting
from mesh.api.parse import checked, shown
from mesh.api.tracing import ProxyTracing
from mesh.model import ObjectKey

__all__ = [
    "EnvoyExternalAuthorizationGrpcProvider",
    "EnvoyExternalAuthorizationHttpProvider",
    "EnvoyExternalAuthorizationRequestBody",
    "ExtensionProvider",
    "MeshConfig",
    "OutboundTrafficPolicy",
    "ProxyConfig",
    "advice_of",
]

KEY = ObjectKey("ConfigMap", "istio-system", "istio")
UNUSED = frozenset(
    {
        "proxyListenPort", "proxyInboundListenPort", "proxyHttpPort", "tcpKeepalive", "ingressClass",
        "ingressService", "ingressControllerMode", "ingressSelector",
        "enableEnvoyAccessLogService", "disableEnvoyListenerLog", "configSources", "defaultHttpRetryPolicy",
        "dnsRefreshRate", "h2UpgradePolicy", "inboundClusterStatName", "outboundClusterStatName",
        "inboundTrafficPolicy", "caCertificates", "ca", "certificates", "thriftConfig", "serviceSettings",
        "enablePrometheusMerge", "verifyCertificateAtClient", "discoverySelectors", "pathNormalization",
        "meshMTLS", "tlsDefaults",
        "enableClientSidePolicyCheck", "authPolicy",
        "rdsRefreshDelay", "sdsUdsPath", "sdsRefreshDelay",
        "sidecarToTelemetrySessionAffinity",
        "enableSdsTokenMount", "sdsUseK8sSaJwt",
        "hboneInboundProtocol", "serviceScopeConfigs", "protocolDetectionTimeoutMs",
    }
)  # fmt: skip
"""Fields of Istio's, older ones too, that this mesh does not act on."""


class OutboundTrafficPolicy(Model):
    """What becomes of traffic to hosts that nobody knows."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class ProxyConfig(Model):
    """Defaults of the proxies; the agent reads them, Pilot passes over what it does not use."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True)

    discovery_address: str = "istio-pilot.istio-system.svc:15012"
    concurrency: int = 1
    tracing: ProxyTracing | None = None


class DefaultProviders(Model):
    """Providers of `extensionProviders` that are used where a Telemetry names none."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()


class MeshConfig(Model):
    """The mesh's own settings."""

    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    enable_auto_mtls: bool = True
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
    extension_providers: tuple[ExtensionProvider, ...] = ()
    default_providers: DefaultProviders = DefaultProviders()
    enable_tracing: bool = True
    mixer_check_server: str = "istio-policy.istio-system.svc.cluster.local:15004"
    disable_policy_checks: bool = False
    policy_check_fail_open: bool = False
    policy_check_timeout: PositiveDuration = 1.0
    mixer_report_server: str = "istio-telemetry.istio-system.svc.cluster.local:15004"
    disable_mixer_http_reports: bool = False
    report_batch_max_entries: Count = 100
    report_batch_max_time: PositiveDuration = 1.0

    @check
    def _servers(self) -> Iterator[Fault]:
        servers = {"mixerCheckServer": self.mixer_check_server, "mixerReportServer": self.mixer_report_server}
        for field, address in servers.items():
            host, _, port = address.rpartition(":")
            if address and not (host and port.isdecimal() and 0 < int(port) < 65536):
                words = "write the address of the service, or leave it empty to ask nobody"
                yield Fault(field, f"is {address!r}, not HOST:PORT", words)

    @check
    def _providers(self) -> Iterator[Fault]:
        for name, times in Counter(each.name for each in self.extension_providers).items():
            if times > 1:
                yield Fault("extensionProviders", f"{name!r} stands {times} times", "give each its own name")

    @classmethod
    def from_yaml(cls, text: str) -> "MeshConfig":
        """Read the ConfigMap's text; `ConfigError` names each field that is wrong."""
        fields = {name: value for name, value in plain(text).items() if name not in UNUSED}
        return checked(cls, fields, KEY, path="data.mesh")


def advice_of(text: str) -> list[Problem]:
    """What of the ConfigMap's text is accepted, but nothing will come of it."""
    unused = [
        Problem(
            KEY, f"data.mesh.{name}", "is not used by this mesh", "leave it out, or know that nothing happens"
        )
        for name in plain(text)
        if name in UNUSED
    ]
    doubts = advice(MeshConfig.from_yaml(text), "data.mesh")
    return unused + [Problem(KEY, each.path, each.message, each.remedy) for each in doubts]


def plain(text: str) -> Mapping[str, Any]:
    """The text's fields; `ConfigError` unless it is a mapping in YAML."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError([Problem(KEY, "data.mesh", f"not YAML: {words}")]) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError([Problem(KEY, "data.mesh", f"is {shown(found)}", "write a mapping of fields")])
    return {str(name): value for name, value in found.items()}
