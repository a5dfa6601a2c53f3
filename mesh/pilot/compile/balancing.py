"""DestinationRule's load balancer as Envoy's: policy, its parameters, and how localities count."""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.wrappers_pb2 import UInt64Value

from mesh.api.networking.balancing import ConsistentHash, LoadBalancerSettings, LocalityLbSetting, SimpleLB
from mesh.pilot.compile.messages import seconds

Cluster = cluster_pb2.Cluster

DEFAULT = SimpleLB.LEAST_REQUEST
POLICIES = {
    SimpleLB.ROUND_ROBIN: Cluster.ROUND_ROBIN,
    SimpleLB.LEAST_REQUEST: Cluster.LEAST_REQUEST,
    SimpleLB.LEAST_CONN: Cluster.LEAST_REQUEST,
    SimpleLB.RANDOM: Cluster.RANDOM,
    SimpleLB.UNSPECIFIED: Cluster.LEAST_REQUEST,
}


def balance(
    cluster: cluster_pb2.Cluster, settings: LoadBalancerSettings | None, locality: LocalityLbSetting | None
) -> None:
    """Set how a cluster picks hosts.

    Places count by weight only where a distribution says so: Envoy picks the place first, in turn, so that
    neither random nor least request would be what it says.
    """
    simple = (settings.simple if settings else None) or DEFAULT
    if simple is SimpleLB.PASSTHROUGH or cluster.type == Cluster.ORIGINAL_DST:
        pass_through(cluster)
        return
    if locality is not None and locality.distribute:
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    if settings is not None and settings.consistent_hash is not None:
        consistent(cluster, settings.consistent_hash)
        return
    cluster.lb_policy = POLICIES[simple]
    if settings is not None:
        warm_up(cluster, settings)


def pass_through(cluster: cluster_pb2.Cluster) -> None:
    """To the address that the caller chose."""
    cluster.type = Cluster.ORIGINAL_DST
    cluster.lb_policy = Cluster.CLUSTER_PROVIDED
    cluster.ClearField("eds_cluster_config")
    cluster.ClearField("load_assignment")


def consistent(cluster: cluster_pb2.Cluster, settings: ConsistentHash) -> None:
    """By a hash: what is hashed is said by the routes."""
    if settings.maglev is not None:
        cluster.lb_policy = Cluster.MAGLEV
        cluster.maglev_lb_config.table_size.CopyFrom(UInt64Value(value=settings.maglev.table_size))
        return
    size = settings.ring_hash.minimum_ring_size if settings.ring_hash else settings.minimum_ring_size
    cluster.lb_policy = Cluster.RING_HASH
    cluster.ring_hash_lb_config.minimum_ring_size.CopyFrom(UInt64Value(value=size or 1024))


def warm_up(cluster: cluster_pb2.Cluster, settings: LoadBalancerSettings) -> None:
    """Give new hosts their share slowly; only round robin and least request can."""
    window = settings.warmup.duration if settings.warmup else settings.warmup_duration_secs
    if not window or cluster.lb_policy == Cluster.RANDOM:
        return
    slow = Cluster.SlowStartConfig(slow_start_window=seconds(window))
    if settings.warmup and settings.warmup.aggression is not None:
        slow.aggression.default_value = settings.warmup.aggression
        slow.aggression.runtime_key = "meshwright.slow_start.aggression"
    if settings.warmup and settings.warmup.minimum_percent is not None:
        slow.min_weight_percent.CopyFrom(percent_pb2.Percent(value=settings.warmup.minimum_percent))
    if cluster.lb_policy == Cluster.ROUND_ROBIN:
        cluster.round_robin_lb_config.slow_start_config.CopyFrom(slow)
    else:
        cluster.least_request_lb_config.slow_start_config.CopyFrom(slow)
