"""What an operator may choose about Galley."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GalleySettings:
    """Ports: 0 takes any that is free, None does not serve that (another part does, or nobody).

    `status_period` is the shortest time between two writes of one object's status, `status_rate` how many
    writes a second there may be in all.
    """

    namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    host: str = "0.0.0.0"
    webhook_port: int | None = 9443
    config_port: int | None = 9901
    http_port: int | None = 15014
    write_status: bool = True
    status_period: float = 1.0
    status_rate: float = 50.0


COMPACT = GalleySettings(webhook_port=None, config_port=None, http_port=None)
"""Where another part of the process has the listeners."""
