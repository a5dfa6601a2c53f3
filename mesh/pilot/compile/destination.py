"""What DestinationRules say of a destination: rules of one host put together, narrowed to port and subset.

Source: Istio's reference of DestinationRule. Several rules of one namespace for one host add up: the first
that names a subset, or has a traffic policy, decides. A subset's policy replaces the destination's field by
field; settings of a port replace both as a whole, and what they leave out is default.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.api.networking.balancing import ConsistentHash, LoadBalancerSettings, LocalityLbSetting
from mesh.api.networking.client_tls import ClientTLSSettings
from mesh.api.networking.connections import ConnectionPoolSettings, OutlierDetection
from mesh.api.networking.destination_rule import PolicyBase, Subset, TrafficPolicy
from mesh.model import ObjectKey
from mesh.pilot.reader import Reader
from mesh.pilot.scope import Client
from mesh.pilot.visibility import destination_rules


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one port of a destination or subset."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None

    def under(self, policy: PolicyBase) -> "Settings":
        """These, with each field that the narrower policy sets replaced."""
        return Settings(
            policy.load_balancer or self.load_balancer,
            policy.connection_pool or self.connection_pool,
            policy.outlier_detection or self.outlier_detection,
            policy.tls or self.tls,
        )

    def narrowed(self, policy: TrafficPolicy | None, port: int) -> "Settings":
        """These under a policy, as it stands for a port."""
        if policy is None:
            return self
        for each in policy.port_level_settings:
            if each.port is not None and each.port.number == port:
                return Settings().under(each)
        return self.under(policy)


@dataclass(frozen=True, slots=True)
class Destination:
    """The DestinationRules of a host as one: `rules` are those that it comes from."""

    rules: tuple[ObjectKey, ...] = ()
    policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()

    @property
    def credentials(self) -> bool:
        """Whether any of it names a Secret, which only gateways can use."""
        policies = [self.policy, *(each.traffic_policy for each in self.subsets)]
        every = (each for policy in policies if policy for each in (policy, *policy.port_level_settings))
        return any(each.tls is not None and each.tls.credential_name for each in every)

    def subset(self, name: str) -> Subset | None:
        """The subset of a name."""
        return next((each for each in self.subsets if each.name == name), None)

    def settings(self, port: int, subset: str = "") -> Settings:
        """What holds for a port of the destination, or of a subset."""
        whole = Settings().narrowed(self.policy, port)
        part = self.subset(subset) if subset else None
        return whole.narrowed(part.traffic_policy, port) if part else whole


def merged(read: Reader, rules: tuple[ObjectKey, ...]) -> Destination:
    """Several rules for one host as one."""
    specs = [found.spec for key in rules if (found := read.object(key)) is not None]
    policy = next((spec.traffic_policy for spec in specs if spec.traffic_policy is not None), None)
    return Destination(
        rules, policy, tuple(first_of_each(subset for spec in specs for subset in spec.subsets))
    )


def first_of_each(subsets: Iterable[Subset]) -> Iterator[Subset]:
    """The first subset of each name."""
    seen: set[str] = set()
    for each in subsets:
        if each.name not in seen:
            seen.add(each.name)
            yield each


def consistent_hash(
    read: Reader, client: Client, hostname: str, port: int, subset: str
) -> ConsistentHash | None:
    """By what a client's requests to a destination are hashed, if they are."""
    rules = read.ask(destination_rules, client, hostname)
    if not rules:
        return None
    balancer = read.ask(merged, rules).settings(port, subset).load_balancer
    return balancer.consistent_hash if balancer else None


def locality_setting(read: Reader, settings: Settings) -> LocalityLbSetting | None:
    """How localities count; None if they do not. On by default, as in Istio."""
    own = settings.load_balancer.locality_lb_setting if settings.load_balancer else None
    setting = own or read.mesh.locality_lb_setting or LocalityLbSetting()
    return None if setting.enabled is False else setting
