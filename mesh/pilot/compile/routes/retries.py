"""Retries: the mesh's default, and what a rule makes of it.

Source: Istio's reference of HTTPRetry. The default does not try again after a 503 by itself, since the
request may have had its effect already; `retryOn: "503"` asks for it.
"""

from http import HTTPStatus

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2

from mesh.api.networking.retries import HTTPRetry
from mesh.pilot.compile.messages import packed, seconds

RetryPolicy = route_components_pb2.RetryPolicy

DEFAULT_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
DEFAULT_ATTEMPTS = 2
BY_STATUS = "retriable-status-codes"
_STATUSES = {str(status.value) for status in HTTPStatus}


def retry_policy(retries: HTTPRetry | None, *, hashed: bool) -> route_components_pb2.RetryPolicy | None:
    """The policy of a route; None if the rule turns retries off.

    A retry goes to another host, unless requests are `hashed`: then the same host stays the right one.
    """
    policy = RetryPolicy(retry_on=DEFAULT_ON, host_selection_retry_max_attempts=5)
    policy.num_retries.value = DEFAULT_ATTEMPTS
    avoid = not hashed
    if retries is not None:
        if retries.attempts == 0:
            return None
        customize(policy, retries)
        if retries.retry_ignore_previous_hosts is not None:
            avoid = retries.retry_ignore_previous_hosts
    if avoid:
        avoid_previous_hosts(policy)
    return policy


def customize(policy: route_components_pb2.RetryPolicy, retries: HTTPRetry) -> None:
    """Put a rule's words in place of the defaults."""
    policy.num_retries.value = retries.attempts
    if retries.retry_on:
        conditions(policy, retries.retry_on)
    if retries.per_try_timeout is not None:
        policy.per_try_timeout.CopyFrom(seconds(retries.per_try_timeout))
    if retries.backoff:
        policy.retry_back_off.base_interval.CopyFrom(seconds(retries.backoff))
    if retries.retry_remote_localities:
        previous = previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2)
        policy.retry_priority.name = "envoy.retry_priorities.previous_priorities"
        policy.retry_priority.typed_config.CopyFrom(packed(previous))


def conditions(policy: route_components_pb2.RetryPolicy, retry_on: str) -> None:
    """When to try again: Envoy's words, and status codes among them."""
    parts = [part.strip() for part in retry_on.split(",") if part.strip()]
    words = [part for part in parts if part not in _STATUSES]
    statuses = [int(part) for part in parts if part in _STATUSES]
    if statuses and BY_STATUS not in words:
        words.append(BY_STATUS)
    policy.retry_on = ",".join(words)
    policy.retriable_status_codes.extend(statuses)


def avoid_previous_hosts(policy: route_components_pb2.RetryPolicy) -> None:
    """Prefer hosts that have not been tried for this request."""
    predicate = policy.retry_host_predicate.add(name="envoy.retry_host_predicates.previous_hosts")
    predicate.typed_config.CopyFrom(packed(previous_hosts_pb2.PreviousHostsPredicate()))
