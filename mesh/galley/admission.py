"""Mixer's objects at the door: held against themselves and against the configuration that is there.

The API server asks about an object as soon as the one before it is stored, and Galley hears of that one by
its watch a moment later. So a name that leads nowhere is looked for again for a moment before it is refused.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from mesh.api.errors import ConfigError
from mesh.api.kinds import MIXER, TELEMETRY
from mesh.api.parse import parse_object
from mesh.model import ConfigObject, ObjectKey
from mesh.model.sources import ConfigSource
from mesh.rules import tags
from mesh.rules.admission import KINDS, Judgement, judgement, problems_of
from mesh.rules.reading import HANDLER_KINDS
from mesh.rules.registry import adapters

PATIENCE = 2.0
"""Seconds for which a name that leads nowhere is looked for: longer than a watch lags behind."""


class Present(Protocol):
    """The configuration that new objects are held against."""

    def objects(self) -> Mapping[ObjectKey, ConfigObject] | None:
        """All objects in force; None while that is not known."""

    async def changed(self) -> None:
        """Wait for the next change."""


class Nothing:
    """Where no configuration is known: objects are held against themselves alone."""

    def objects(self) -> None:
        """Nothing is known."""

    async def changed(self) -> None:
        """Nothing ever changes."""
        await asyncio.Future()


class Source:
    """What a configuration source has."""

    def __init__(self, source: ConfigSource) -> None:
        self._source = source
        self._waiting: set[asyncio.Future[None]] = set()
        source.subscribe(self._wake)

    def __repr__(self) -> str:
        return f"<Source of {self._source!r}, {len(self._waiting)} wait>"

    def objects(self) -> Mapping[ObjectKey, ConfigObject] | None:
        """All objects in force, once all have been read."""
        return self._source.objects() if self._source.synced.is_set() else None

    async def changed(self) -> None:
        """Wait for the next change."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _wake(self, keys: frozenset[ObjectKey]) -> None:
        for each in self._waiting:
            if not each.done():
                each.set_result(None)


def parsed(obj: Mapping[str, Any]) -> ConfigObject:
    """An object as typed configuration; a handler's parameters are read by its adapter.

    So one that got past the door, while nobody watched it, does not take the place of the last good one.
    Raises `ConfigError`.
    """
    found = parse_object(obj)
    if found.key.kind in HANDLER_KINDS and (problems := problems_of(found, adapters())):
        raise ConfigError(problems)
    return found


def concerns(obj: Mapping[str, Any]) -> bool:
    """Whether an object is one of Mixer's, or has expressions of its attributes."""
    group, kind = str(obj.get("apiVersion", "")).partition("/")[0], obj.get("kind")
    return (group == MIXER and kind in KINDS) or (group == TELEMETRY and kind == tags.KIND)


async def examined(obj: Mapping[str, Any], present: Present, patience: float = PATIENCE) -> Judgement:
    """What is wrong with an object of Mixer's that parses, and what is doubtful."""
    whole = parse_object(obj)
    found = judged(whole, present)
    if not found.dangling:
        return found
    try:
        async with asyncio.timeout(patience):
            while found.dangling:
                await present.changed()
                found = judged(whole, present)
    except TimeoutError:
        pass
    return found


def judged(obj: ConfigObject, present: Present) -> Judgement:
    """The judgement at this moment; where nothing is known, references are not followed."""
    objects = present.objects()
    return judgement(obj, {} if objects is None else objects, adapters(), references=objects is not None)
