"""P3: the ledger of adapter usage."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.mixer.adapters.usage import Usage, UsageParams
from mesh.mixer.exposed import billed
from mesh.rules.adapter import Environment, Instance
from mesh.rules.types import ValueType

pytestmark = pytest.mark.behaviour("P3")
NAME = "used.instance.weather"
NOON = 1_600_000_000.0


class Rig:
    """A ledger in a folder, and a clock that the test turns."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, NOON
        self.registry = CollectorRegistry()
        self._work: list[Coroutine[Any, Any, None]] = []

    @contextmanager
    def made(self, **params: Any) -> Iterator[Usage]:
        given = UsageParams.model_validate(params)
        environment = Environment(
            "ledger.weather", lambda: self.now, lambda: self.now, self._kept, self.registry, self.folder, {}
        )
        yield Usage(given, environment)
        while self._work:
            self._work.pop().close()

    def _kept(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._work.append(work)


def used(consumer: str, size: int) -> Instance:
    return Instance(NAME, "metric", {"value": size, "dimensions": {"consumer": consumer}})


def test_requests_and_bytes_by_consumer_and_hour(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def scenario(adapter: Usage) -> str:
        await adapter.start()
        adapter.report([used("ann", 10), used("bob", 1), used("ann", 5)])
        assert [row["requests"] for row in await adapter.ledger()] == [2, 1]
        rig.now += 3600
        adapter.report([used("ann", 7)])
        await adapter.close()
        return await billed([adapter])

    with rig.made() as adapter:
        text = asyncio.run(scenario(adapter))
    assert text.splitlines() == [
        "handler,period,start,consumer,requests,bytes",
        "ledger.weather,HOUR,2020-09-13T12:00:00Z,ann,2,15",
        "ledger.weather,HOUR,2020-09-13T12:00:00Z,bob,1,1",
        "ledger.weather,HOUR,2020-09-13T13:00:00Z,ann,1,7",
    ]


def test_what_cannot_be_written_waits(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def scenario(adapter: Usage) -> list[Any]:
        await adapter.start()
        file, away = tmp_path / "usage.sqlite", tmp_path / "away"
        file.rename(away)
        file.mkdir()
        adapter.report([used("ann", 10)])
        await adapter.close()
        file.rmdir()
        away.rename(file)
        adapter.report([used("ann", 1)])
        return [(row["consumer"], row["requests"], row["bytes"]) for row in await adapter.ledger()]

    with rig.made() as adapter:
        assert asyncio.run(scenario(adapter)) == [("ann", 2, 11)]


def test_the_number_of_consumers_is_bounded(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with rig.made(max_consumers=1) as adapter:
        adapter.report([used("ann", 1), used("bob", 1), used("ann", 1)])
    assert rig.registry.get_sample_value("mixer_usage_lost_total", {"handler": "ledger.weather"}) == 1


def test_a_ledger_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with Rig(tmp_path / "nowhere").made() as adapter, pytest.raises(Exception, match="unable to open"):
        asyncio.run(adapter.start())


def test_instances_must_have_a_consumer_and_bytes() -> None:
    types: Any = {NAME: {"value": ValueType.STRING, "dimensions": {"who": ValueType.STRING}}}
    found = [str(each) for each in Usage.faults(UsageParams(), types)]
    assert "its dimensions are: who" in found[0]
    assert "not bytes" in found[1]
