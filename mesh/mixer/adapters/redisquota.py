"""`redisquota`: quotas kept in Redis, one budget for all replicas of istio-policy.

A quota that Redis does not answer in time fails: the proxy's fail policy decides then, and it is counted as
an error of the handler. It is not asked twice, for what was taken unseen would be taken again.
Source: Istio 1.6's reference of the adapter; `timeout` and `minDeduplicationDuration` are additions.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import structlog
from pydantic import Field

from mesh.api.base import Model, PositiveDuration
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.limits import Limit, Limits, Quota, Types, cell, micros, quota_faults, texts
from mesh.mixer.adapters.redis_scripts import FIXED, ROLLING
from mesh.mixer.adapters.windows import MICROS
from mesh.rules.adapter import Adapter, Environment, Instance, QuotaResult

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "mixer:quota:"
SCHEMES = ("redis://", "rediss://", "unix://")
log = structlog.get_logger(component="mixer")


class RedisGone(Exception):
    """Redis did not answer, or not with an answer."""


class RedisQuotaParams(Model):
    """Limits, and the Redis that counts: `host:port`, or a URL (`rediss://user:password@host:6379/0`)."""

    quotas: list[Quota] = Field(default_factory=list)
    redis_server_url: str
    connection_pool_size: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    timeout: PositiveDuration = 0.5
    min_deduplication_duration: PositiveDuration = 1.0

    @check
    def _url(self) -> Iterator[Fault]:
        yield from address_faults(self.redis_server_url)

    @check
    def _windows(self) -> Iterator[Fault]:
        for index, quota in enumerate(self.quotas):
            times: dict[str, float | None] = {"validDuration": quota.valid_duration}
            times |= {
                f"overrides[{n}].validDuration": e.valid_duration for n, e in enumerate(quota.overrides)
            }
            for path in (path for path, seconds in times.items() if seconds == 0):
                told = "is zero or not given, and Redis would count for ever"
                yield Fault(f"quotas[{index}].{path}", told, "write how long a window is, such as 60s")

    def url(self) -> str:
        """The URL of Redis."""
        given = self.redis_server_url
        return given if given.startswith(SCHEMES) else f"redis://{given}"

    def connections(self) -> int:
        """How many connections there are at most."""
        return self.connection_pool_size or 10


def address_faults(address: str) -> Iterator[Fault]:
    """Why an address is none."""
    from urllib.parse import urlsplit

    parts = urlsplit(address if "://" in address else f"redis://{address}")
    try:
        whole = bool(parts.path if parts.scheme == "unix" else parts.hostname and (parts.port or 6379))
    except ValueError:
        whole = False
    if not whole or f"{parts.scheme}://" not in SCHEMES:
        remedy = "write host:port, or a URL such as rediss://host:6379/0"
        yield Fault("redisServerUrl", f"is {address!r}, which is no address of a Redis", remedy)


class RedisQuota(Adapter[RedisQuotaParams]):
    """Sends one script a question. `now` gives the time to count by, in seconds; None: Redis's own."""

    name: ClassVar[str] = "redisquota"
    templates: ClassVar[frozenset[str]] = frozenset({"quota"})
    Params = RedisQuotaParams
    now: Callable[[], float] | None = None

    def __init__(self, params: RedisQuotaParams, environment: Environment) -> None:
        super().__init__(params, environment)
        self._limits = Limits(params.quotas)
        self._redis: Redis | None = None
        self._scripts: dict[bool, Any] = {}
        self._away = False

    @classmethod
    def faults(cls, params: RedisQuotaParams, types: Types) -> Iterator[Fault]:
        """Limits that are missing, and overrides that fit nothing."""
        yield from quota_faults(params.quotas, types)

    async def start(self) -> None:
        """Connect; raises `RedisGone`."""
        self._redis = client(self.params)
        self._scripts = {
            rolling: self._redis.register_script(source)
            for rolling, source in ((False, FIXED), (True, ROLLING))
        }
        await self._asked(self._redis.ping())

    async def close(self) -> None:
        """Let go of the connections."""
        if self._redis is not None:
            await self._redis.aclose()

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        """Take from the window that all replicas share. Raises `RedisGone`, `UnknownQuota`."""
        dimensions = texts(instance.values.get("dimensions", {}))
        limit = self._limits.of(instance.name, dimensions)
        args = self._arguments(limit, amount, best_effort=best_effort, dedup=dedup)
        script = self._scripts[limit.bucket > 0]
        granted, retry = await self._asked(script(keys(instance.name, dimensions, limit, dedup), args))
        return QuotaResult(granted, limit.length / MICROS, retry / MICROS)

    def _arguments(self, limit: Limit, amount: int, *, best_effort: bool, dedup: str) -> list[int | str]:
        now = "" if self.now is None else micros(self.now())
        same = micros(self.params.min_deduplication_duration) if dedup else 0
        return [now, amount, int(best_effort), limit.amount, limit.length, limit.bucket, same]

    async def _asked(self, question: Any) -> Any:
        """Redis's answer; raises `RedisGone`. The first failure of several is logged."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self.params.timeout):
                answer = await question
        except (RedisError, OSError, TimeoutError) as error:
            raise self._gone(error) from error
        self._away = False
        return answer

    def _gone(self, error: Exception) -> RedisGone:
        reason = str(error) or f"no answer within {self.params.timeout:g} s"
        told = RedisGone(f"Redis at {shown(self.params.redis_server_url)} cannot be asked: {reason}")
        if not self._away:
            log.warning("quotas cannot be counted", handler=self.environment.handler, error=str(told))
        self._away = True
        return told


def client(params: RedisQuotaParams) -> "Redis":
    """A client that tries nothing twice and waits for one of its connections to be free."""
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        params.url(),
        max_connections=params.connections(),
        timeout=params.timeout,
        socket_timeout=params.timeout,
        socket_connect_timeout=params.timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return Redis.from_pool(pool)


def keys(name: str, dimensions: dict[str, str], limit: Limit, dedup: str) -> list[str]:
    """The keys of a count and of what was answered; the braces keep both on one node of a cluster."""
    kind = f"rolling:{limit.bucket}" if limit.bucket else "fixed"
    base = f"{PREFIX}{{{cell(name, dimensions)}}}:{kind}"
    return [base, f"{base}:{dedup}"]


def shown(address: str) -> str:
    """An address without its password.

    >>> shown("rediss://user:secret@host:6379/0"), shown("host:6379")
    ('rediss://host:6379/0', 'host:6379')
    """
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
