"""Which instance of a destination gets the next request.

Source: Istio's reference of networking.istio.io/v1 DestinationRule; every field is named as there.
"""

import math
from enum import StrEnum

from mesh.api.base import Count, Duration, HeaderName, Model, at_most_one, exactly_one
from mesh.api.checks import check

LARGEST_TABLE = 5_000_011  # Envoy's limit for Maglev


class SimpleLB(StrEnum):
    """Load balancers without parameters."""

    UNSPECIFIED = "UNSPECIFIED"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    LEAST_CONN = "LEAST_CONN"  # the older name of LEAST_REQUEST
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"


class HTTPCookie(Model):
    """A cookie to hash by; one is made when it is missing and `ttl` is set."""

    name: str
    path: str = ""
    ttl: Duration | None = None


class RingHash(Model):
    """Ring hash."""

    minimum_ring_size: Count = 1024


class MagLev(Model):
    """Maglev."""

    table_size: Count = 65537

    @check
    def _prime(self) -> None:
        size = self.table_size
        if not 2 <= size <= LARGEST_TABLE or any(size % each == 0 for each in range(2, math.isqrt(size) + 1)):
            raise ValueError(f"tableSize is {size}; it must be a prime number up to {LARGEST_TABLE}")


class ConsistentHash(Model):
    """The same key goes to the same instance."""

    http_header_name: HeaderName | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: Count | None = None

    @check
    def _one(self) -> None:
        exactly_one(self, "http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        at_most_one(self, "ring_hash", "maglev")


class LocalityDistribute(Model):
    """From one locality to others, by weight; the weights of one origin add up to 100."""

    from_: str = ""
    to: dict[str, int] = {}

    model_config = {"alias_generator": lambda name: "from" if name == "from_" else name}

    @check
    def _sum(self) -> None:
        if self.to and sum(self.to.values()) != 100:
            raise ValueError(f"the weights in to add up to {sum(self.to.values())}, not to 100")


class LocalityFailover(Model):
    """From a region to another, when the first is unhealthy."""

    from_: str = ""
    to: str = ""

    model_config = {"alias_generator": lambda name: "from" if name == "from_" else name}


class LocalityLbSetting(Model):
    """Load balancing by locality."""

    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


class WarmupConfiguration(Model):
    """A new instance gets its share slowly."""

    duration: Duration
    minimum_percent: float | None = None
    aggression: float | None = None


class LoadBalancerSettings(Model):
    """Which instance gets the next request."""

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None

    @check
    def _one(self) -> None:
        at_most_one(self, "simple", "consistent_hash")
