"""Several sources as one: each brings its kinds, and none hides another."""

import asyncio

import pytest

from mesh.galley.source.combined import Combined
from mesh.model import ConfigObject, ObjectKey
from tests.live import running
from tests.pilot.ads.sources import Config

pytestmark = pytest.mark.behaviour("S3")
SECRET = ObjectKey("Secret", "weather", "shop")


def test_each_source_answers_for_its_kinds() -> None:
    first, second = Config(), Config()
    rule = first.put("rule")
    second._objects[SECRET] = ConfigObject(SECRET, "", "v1", None)
    second._seen[SECRET] = "7"
    both = Combined(first, {second: frozenset({"Secret"})})
    assert {key.name for key in both.objects()} == {"rule", "shop"}
    assert both.seen(SECRET) == "7"
    assert both.seen(ObjectKey("Prepared", "weather", "rule")) == rule
    assert both.seen(ObjectKey("Secret", "weather", "rule")) is None


def test_a_refusal_is_told_by_the_source_that_made_it() -> None:
    first, second = Config(), Config()
    first.put_invalid("rule", ValueError("no"))
    both = Combined(first, {second: frozenset({"Secret"})})
    assert str(both.rejected(ObjectKey("Prepared", "weather", "rule"))) == "no"
    assert both.rejected(SECRET) is None


async def changes_of_all_are_heard() -> None:
    first, second = Config(), Config()
    heard: list[str] = []
    both = Combined(first, {second: frozenset({"Secret"})})
    both.subscribe(lambda keys: heard.extend(key.name for key in keys))
    async with running(both):
        first.put("one")
        second.put("two")
    assert heard == ["one", "two"]


def test_changes_of_all_are_heard() -> None:
    asyncio.run(changes_of_all_are_heard())


async def it_is_synced_when_all_are() -> None:
    first, second = Config(), Config()
    second.synced.clear()
    both = Combined(first, {second: frozenset({"Secret"})})
    task = asyncio.create_task(both.run())
    await asyncio.sleep(0)
    assert not both.synced.is_set()
    second.synced.set()
    async with asyncio.timeout(30):
        await both.synced.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_it_is_synced_when_all_are() -> None:
    asyncio.run(it_is_synced_when_all_are())
