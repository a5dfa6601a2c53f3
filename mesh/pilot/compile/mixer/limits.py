"""Budgets as Envoy's local rate limits, of those calls that a gate has noted.

Source: Envoy's `extensions.filters.http.local_ratelimit.v3` and `config.route.v3.RateLimit`.
"""

from collections.abc import Iterator, Sequence

from envoy.config.core.v3 import base_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.v3 import percent_pb2, token_bucket_pb2

from mesh.model import authorization
from mesh.pilot.compile.messages import flag, number, packed, seconds
from mesh.pilot.compile.mixer import compiled
from mesh.pilot.compile.mixer.decide import Step

HttpFilter = http_connection_manager_pb2.HttpFilter
RateLimit = route_components_pb2.RateLimit
NAME, GATE = "meshwright.mixer.limit", "meshwright.mixer.limited"
SHADOW = "mixer_limit_"
KEY = "quota"
DETAILS = "local_rate_limited"
PLENTY = 2**31 - 1
"""Tokens of the bucket of calls that no quota is for."""


def http(counted: Sequence[tuple[int, Step]]) -> Iterator[http_connection_manager_pb2.HttpFilter]:
    """The filters that note which calls count, and count them. There is one budget at a place."""
    for index, step in counted:
        rules = rbac_pb2.RBAC(action=rbac_pb2.RBAC.DENY)
        rules.policies[compiled.name_of(index, step)].CopyFrom(compiled.policy(step.when))
        gate = http_rbac_pb2.RBAC(shadow_rules=rules, shadow_rules_stat_prefix=SHADOW)
        yield HttpFilter(name=GATE, typed_config=packed(gate))
        yield HttpFilter(name=NAME, typed_config=packed(limit(compiled.name_of(index, step), step)))


def limit(name: str, step: Step) -> local_rate_limit_pb2.LocalRateLimit:
    """The limit of calls that were noted under a name."""
    budget = step.budget
    assert budget is not None
    entry = ratelimit_pb2.RateLimitDescriptor.Entry(key=KEY, value=name)
    every = base_pb2.RuntimeFractionalPercent(
        default_value=percent_pb2.FractionalPercent(
            numerator=100, denominator=percent_pb2.FractionalPercent.HUNDRED
        )
    )
    return local_rate_limit_pb2.LocalRateLimit(
        stat_prefix="mixer",
        token_bucket=bucket(PLENTY, 1.0),
        filter_enabled=every,
        filter_enforced=every,
        descriptors=[
            ratelimit_pb2.LocalRateLimitDescriptor(
                entries=[entry], token_bucket=bucket(budget.amount, budget.seconds)
            )
        ],
        rate_limits=[RateLimit(actions=[noted()])],
        always_consume_default_token_bucket=flag(False),
    )


def bucket(amount: int, time: float) -> token_bucket_pb2.TokenBucket:
    """A bucket that refills in a time."""
    return token_bucket_pb2.TokenBucket(
        max_tokens=amount, tokens_per_fill=number(amount), fill_interval=seconds(time)
    )


def noted() -> route_components_pb2.RateLimit.Action:
    """What the gate has noted; calls without a note take from no budget."""
    path = [metadata_pb2.MetadataKey.PathSegment(key=f"{SHADOW}{authorization.SHADOW_POLICY}")]
    source = metadata_pb2.MetadataKey(key=authorization.HTTP_RBAC, path=path)
    action = RateLimit.Action.MetaData(
        descriptor_key=KEY, metadata_key=source, source=RateLimit.Action.MetaData.DYNAMIC, skip_if_absent=True
    )
    return RateLimit.Action(metadata=action)


def replies(counted: Sequence[tuple[int, Step]]) -> Iterator[http_connection_manager_pb2.ResponseMapper]:
    """The words of refusals."""
    for _, step in counted:
        if step.reply is not None:
            yield compiled.reply(DETAILS, step.reply)
