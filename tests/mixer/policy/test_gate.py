"""How much is worked on at once, and who is turned away."""

import asyncio

import pytest

from mesh.mixer.policy.gate import Gate, Limits, Overloaded
from tests.live import until

pytestmark = pytest.mark.behaviour("P4")


def test_beyond_what_may_wait_a_call_is_turned_away_at_once() -> None:
    async def work() -> None:
        gate = Gate(Limits(together=1, waiting=1, patience=60))
        release = asyncio.Event()

        async def call() -> None:
            async with gate.passed():
                await release.wait()

        calls = [asyncio.ensure_future(call()) for _ in range(2)]
        await until(lambda: "1 waiting" in repr(gate), "the second call waits")
        with pytest.raises(Overloaded, match="1 checks are under way and 1 wait"):
            await gate.wait()
        release.set()
        await asyncio.gather(*calls)
        assert gate.inside == 0

    asyncio.run(work())


def test_who_waits_too_long_is_turned_away_and_leaves_no_trace() -> None:
    async def work() -> None:
        gate = Gate(Limits(together=1, waiting=5, patience=0.01))
        assert gate.try_enter()
        with pytest.raises(Overloaded, match="no turn within"):
            await gate.wait()
        gate.leave()
        assert gate.inside == 0
        assert gate.try_enter()

    asyncio.run(work())


def test_one_who_gives_up_gives_its_place_on() -> None:
    async def work() -> None:
        gate = Gate(Limits(together=1, waiting=5, patience=60))
        assert gate.try_enter()
        waiting = asyncio.ensure_future(gate.wait())
        await asyncio.sleep(0)
        gate.leave()  # its turn has come, and it is cancelled before it hears of that
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert gate.inside == 0

    asyncio.run(work())


def test_never_more_than_the_limit_are_inside() -> None:
    async def work() -> None:
        gate = Gate(Limits(together=3, waiting=1000, patience=60))
        most = 0

        async def call() -> None:
            nonlocal most
            async with gate.passed():
                most = max(most, gate.inside)
                await asyncio.sleep(0)

        await asyncio.gather(*(call() for _ in range(200)))
        assert most == 3
        assert gate.inside == 0

    asyncio.run(work())
