"""What an operator may choose about Citadel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from mesh.pki.keys import Algorithm

SERVICES = ("istio-pilot", "istio-citadel", "istio-galley", "istio-sidecar-injector")
MIXERS: Mapping[str, tuple[str, ...]] = {name: (name,) for name in ("istio-policy", "istio-telemetry")}
"""Mixer's parts, which are processes of their own everywhere."""
CLASSIC: Mapping[str, tuple[str, ...]] = {**{name: (name,) for name in SERVICES}, **MIXERS}
"""Which Services' names the accounts of the control plane get: each its own."""

COMPACT: Mapping[str, tuple[str, ...]] = {"istio-pilot": SERVICES, **MIXERS}
"""The same where one process is all the control plane."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Requests that one caller may make: so many at once, and so many a second in the long run."""

    burst: int = 100
    per_second: float = 10.0


@dataclass(frozen=True, slots=True)
class CitadelSettings:
    """Ports: 0 takes any that is free; `http_port` None serves no HTTP (another part of the process does).

    `services` says which DNS names go into certificates of the control plane: account of `namespace` to
    Services. `account` is the account that Citadel itself runs as.
    """

    namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    cluster_domain: str = "cluster.local"
    account: str = "istio-citadel"
    services: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: CLASSIC)
    algorithm: Algorithm = "ecdsa-p256"
    workload_algorithm: Algorithm = "ecdsa-p256"
    root_lifetime: timedelta = timedelta(days=3650)
    workload_lifetime: timedelta = timedelta(hours=24)
    longest_lifetime: timedelta = timedelta(days=90)
    secret_lifetime: timedelta = timedelta(days=90)
    skew: timedelta = timedelta(minutes=2)
    audience: str = "istio-ca"
    host: str = "0.0.0.0"
    token_port: int = 8060
    mutual_port: int = 8061
    http_port: int | None = 15014
    limit: Limit = Limit()
    classic_secrets: bool = True
    injection_label: tuple[str, str] = ("istio-injection", "enabled")

    def dns_names(self, namespace: str, account: str) -> tuple[str, ...]:
        """The DNS names of the Services that an account is entitled to serve, in every form."""
        if namespace != self.namespace:
            return ()
        return tuple(
            service + suffix
            for service in self.services.get(account, ())
            for suffix in (
                "",
                f".{namespace}",
                f".{namespace}.svc",
                f".{namespace}.svc.{self.cluster_domain}",
            )
        )
