"""How many requests one caller may make: a bucket of tokens for each, in bounded memory."""

from collections import OrderedDict
from collections.abc import Hashable

from mesh.citadel.settings import Limit
from mesh.pki.clock import Clock

CALLERS = 20_000  # remembered at once; who was heard of longest ago is forgotten first


class Limiter:
    """Answers whether a caller may make a request now, and counts it if so."""

    def __init__(self, limit: Limit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, caller: Hashable) -> bool:
        """Take one token of the caller's bucket; False if it is empty."""
        now = self._clock().timestamp()
        tokens = self._tokens(caller, now)
        allowed = tokens >= 1
        self._buckets.pop(caller, None)  # so that it becomes the last one
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        return allowed

    def exhausted(self, caller: Hashable) -> bool:
        """Whether the bucket is empty now; nothing is taken."""
        return self._tokens(caller, self._clock().timestamp()) < 1

    def _tokens(self, caller: Hashable, now: float) -> float:
        tokens, since = self._buckets.get(caller, (float(self._limit.burst), now))
        return min(self._limit.burst, tokens + max(now - since, 0.0) * self._limit.per_second)
