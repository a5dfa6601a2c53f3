"""What is said to one client: a state machine without I/O, requests in, responses out.

A client asks for each collection once, with the versions that it has from before; it gets what differs, then
each change. One response of a collection is under way at a time; what changes meanwhile goes with the next,
so a slow client makes nothing grow but one set of names. Source: Mesh Configuration Protocol, incremental.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mesh.galley import wire
from mesh.galley.feed import Entry, Feed

LARGEST = 1_000_000  # bytes of resources in one response
MOST = 1000  # resources in one response


class BadRequest(Exception):
    """The client asks for what there is not; the text says what."""


@dataclass(slots=True)
class Wanted:
    """One collection: the versions that the client has, what may differ, the response under way."""

    held: dict[str, str]
    dirty: set[str]
    nonce: str = ""
    fresh: bool = True  # nothing was said yet: even an empty answer tells something


@dataclass(slots=True)
class Said:
    """What a request turned out to be: an ACK or a NACK with its reason, or neither."""

    acked: bool = False
    refused: str = ""


@dataclass(slots=True)
class Conversation:
    """With one client. `hear` each request, `changed` for each change; then send all of `answers`."""

    feed: Feed
    wanted: dict[str, Wanted] = field(default_factory=dict)
    _nonces: Iterator[int] = field(default_factory=lambda: count(1))

    def hear(self, request: Any) -> Said:
        """Take a request (`RequestResources`); raises `BadRequest`."""
        entries = self.feed.entries(request.collection)
        if entries is None:
            raise BadRequest(f"there is no collection {request.collection!r}")
        wanted = self.wanted.get(request.collection)
        if wanted is None:
            held = dict(request.initial_resource_versions)
            self.wanted[request.collection] = Wanted(held, {*held, *entries})
            return Said()
        if not request.response_nonce or request.response_nonce != wanted.nonce:
            return Said()  # about an answer that was overtaken
        wanted.nonce = ""
        refused = request.error_detail.message if request.HasField("error_detail") else ""
        return Said(acked=not request.HasField("error_detail"), refused=refused)

    def changed(self, collection: str, name: str) -> bool:
        """An object changed; whether there may be something to say now."""
        wanted = self.wanted.get(collection)
        if wanted is None:
            return False
        wanted.dirty.add(name)
        return not wanted.nonce

    def answers(self) -> Iterator[Any]:
        """The responses (`Resources`) that are due."""
        for collection, wanted in tuple(self.wanted.items()):
            if not wanted.nonce and (wanted.dirty or wanted.fresh):
                found = self._answer(collection, wanted)
                if found is not None:
                    yield found

    def _answer(self, collection: str, wanted: Wanted) -> Any | None:
        changed, removed, size = list[bytes](), list[str](), 0
        entries = self.feed.entries(collection) or {}
        while wanted.dirty and size < LARGEST and len(changed) + len(removed) < MOST:
            name = wanted.dirty.pop()
            entry: Entry | None = entries.get(name)
            if entry is None and wanted.held.pop(name, None) is not None:
                removed.append(name)
            elif entry is not None and wanted.held.get(name) != entry.version:
                wanted.held[name] = entry.version
                changed.append(entry.resource)
                size += len(entry.resource)
        if not (changed or removed or wanted.fresh):
            return None
        wanted.nonce, wanted.fresh = str(next(self._nonces)), False
        return wire.Resources(
            # empty as long as more of the same state is to come
            system_version_info="" if wanted.dirty else str(self.feed.revision),
            collection=collection, nonce=wanted.nonce, incremental=True,
            resources=[wire.Resource.FromString(each) for each in changed], removed_resources=removed,
        )  # fmt: skip
