"""How a VirtualService has failed requests tried again.

Source: Istio's reference of networking.istio.io/v1 VirtualService; every field is named as there.
"""

from collections.abc import Iterator

from mesh.api.base import Count, Duration, Model
from mesh.api.checks import Fault, check

# Envoy's conditions for retries of HTTP and gRPC (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
RETRY_ON = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited",
        "retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers",
        "http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal", "resource-exhausted",
        "unavailable",
    }
)  # fmt: skip


class HTTPRetry(Model):
    """How often, when and for how long a failed request is tried again."""

    attempts: Count = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Duration | None = None

    @check
    def _per_try(self) -> Iterator[Fault]:
        if self.per_try_timeout is not None and 0 < self.per_try_timeout < 0.001:
            yield Fault("perTryTimeout", "is too short; it must be at least 1ms")

    @check
    def _conditions(self) -> None:
        for word in filter(None, (part.strip() for part in self.retry_on.split(","))):
            if word not in RETRY_ON and not (word.isdecimal() and 100 <= int(word) < 600):
                raise ValueError(f"retryOn has {word!r}; use {', '.join(sorted(RETRY_ON))}, or status codes")
