"""Which certificates were issued: serial number, identity, issuer, times. Kept on the platform.

A certificate leaves Citadel only after its line is kept, so that whoever revokes an identity misses none.
Lines of many callers are written together, in bounded batches, to ConfigMaps of bounded size: one is filled,
then the next. A line is one key, so that two writers do not get in each other's way.
"""

import asyncio
import json
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from mesh.citadel.kube import Kube, KubeError, Obj

FULL = 500  # lines of one ConfigMap (75 kB): each write is sent back whole to whoever watches
BATCH = 250  # lines in one request
KEPT = timedelta(hours=1)  # after a certificate's end
LABEL = "trust.istio.io/ledger"
PREFIX = "istio-ledger-"
SERIAL = re.compile(r"[0-9a-f]{1,40}")

log = structlog.get_logger(component="citadel")


class LedgerAway(Exception):
    """A line could not be kept; the certificate must not leave."""


@dataclass(frozen=True, slots=True)
class Line:
    """One certificate. `serial` is hexadecimal, `issuer` the authority's id."""

    serial: str
    identity: str
    issuer: str
    issued: datetime
    ends: datetime

    def text(self) -> str:
        """As kept: JSON, times as Unix seconds with fractions, so that lines read again keep their order."""
        value = [self.identity, self.issuer, self.issued.timestamp(), self.ends.timestamp()]
        return json.dumps(value, separators=(",", ":"))

    @classmethod
    def parse(cls, serial: str, text: str) -> "Line":
        """Read what `text` wrote; `ValueError` if it is something else."""
        try:
            identity, issuer, issued, ends = json.loads(text)
            if not SERIAL.fullmatch(serial):
                raise ValueError("no serial number")
            moments = datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(ends, UTC)
        except (ValueError, TypeError, OverflowError, OSError) as error:
            raise ValueError(f"ledger line {serial!r}: {error}") from None
        return cls(serial, str(identity), str(issuer), *moments)


def lines_of(config_map: Obj) -> Iterator[Line]:
    """The lines of one ConfigMap; what cannot be read is left out."""
    for serial, text in (config_map.get("data") or {}).items():
        try:
            yield Line.parse(serial, text)
        except ValueError as error:
            log.warning("left out", error=str(error))


Waiting = tuple[Line, asyncio.Future[None]]
"""A line to be written, and who waits for that."""


class Ledger:
    """All lines, in memory and on the platform. `run()` writes; `keep()` waits until a line is written."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._lines: dict[str, Line] = {}
        self._by_identity: defaultdict[str, set[str]] = defaultdict(set)
        self._places: dict[str, str] = {}  # in which ConfigMap a serial number is
        self._room: dict[str, int] = {}  # lines of each ConfigMap
        self._waiting: list[Waiting] = []
        self._work = asyncio.Event()

    def __len__(self) -> int:
        return len(self._lines)

    def __repr__(self) -> str:
        return f"<Ledger of {len(self)} certificates, {len(self._waiting)} to be written>"

    def read(self, config_map: Obj) -> None:
        """Learn the lines of a ConfigMap that was read, another Citadel's too."""
        data, name = config_map.get("data") or {}, config_map["metadata"]["name"]
        self._room[name] = len(data)
        if not data.keys() <= self._places.keys():
            for line in lines_of(config_map):
                self._add(line)
                self._places[line.serial] = name

    def removed(self, name: str) -> None:
        """A ConfigMap is gone: what it held, and is known here, is written again."""
        self._room.pop(name, None)
        for serial in [serial for serial, place in self._places.items() if place == name]:
            del self._places[serial]
            self.add(self._lines[serial]).add_done_callback(_seen)

    def get(self, serial: str) -> Line | None:
        """The line of a serial number, or None if it is not known (any more)."""
        return self._lines.get(serial)

    def of(self, identity: str) -> list[Line]:
        """All lines of an identity."""
        return [self._lines[serial] for serial in self._by_identity.get(identity, ())]

    def live(self, now: datetime) -> Iterator[Line]:
        """The lines of certificates that have not ended."""
        return (line for line in tuple(self._lines.values()) if line.ends > now)

    def add(self, line: Line) -> asyncio.Future[None]:
        """Put a line in at once; the future is done when it is kept, or fails with `LedgerAway`."""
        self._add(line)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        self._work.set()
        return done

    def forget(self, now: datetime) -> dict[str, list[str]]:
        """Drop lines that ended a while ago from memory; their serials by ConfigMap, to be dropped there."""
        gone: defaultdict[str, list[str]] = defaultdict(list)
        for line in tuple(self._lines.values()):
            if line.ends + KEPT < now and line.serial in self._places:
                gone[self._places.pop(line.serial)].append(line.serial)
                del self._lines[line.serial]
                self._by_identity[line.identity].discard(line.serial)
                if not self._by_identity[line.identity]:
                    del self._by_identity[line.identity]
        return gone

    async def drop(self, gone: dict[str, list[str]]) -> None:
        """Remove lines from the platform, in bounded batches. Empty ConfigMaps are filled again."""
        for name, serials in gone.items():
            for start in range(0, len(serials), BATCH):
                data = dict.fromkeys(serials[start : start + BATCH])
                await self._kube.merge(f"{self._path}/{name}", {"data": data})

    async def run(self) -> None:
        """Write what waits, together, until cancelled; then nobody waits in vain."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                await self._write()
        finally:
            for _, done in self._waiting:
                done.cancel()

    async def _write(self) -> None:
        taken, self._waiting = self._waiting, []
        for start in range(0, len(taken), BATCH):
            await self._write_batch(taken[start : start + BATCH])

    async def _write_batch(self, entries: list[Waiting]) -> None:
        name = self._open()
        try:
            await self._put(name, {line.serial: line.text() for line, _ in entries})
        except KubeError as error:
            log.warning("ledger not written", error=str(error), lines=len(entries))
            _finish(entries, LedgerAway(str(error)))
            return
        self._room[name] = self._room.get(name, 0) + len(entries)
        self._places |= {line.serial: name for line, _ in entries}
        _finish(entries, None)

    def _open(self) -> str:
        """The ConfigMap to write to: the fullest that is not full, or a new one."""
        fitting = [(lines, name) for name, lines in self._room.items() if lines + BATCH <= FULL + BATCH // 2]
        return max(fitting)[1] if fitting else f"{PREFIX}{secrets.token_hex(4)}"

    async def _put(self, name: str, data: dict[str, str]) -> None:
        """Add lines to a ConfigMap, which is made if it is not there."""
        if name in self._room:
            try:
                await self._kube.merge(f"{self._path}/{name}", {"data": data})
            except KubeError as error:
                if error.status != 404:
                    raise
            else:
                return
        made = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {LABEL: "true"}},
            "data": data,
        }
        await self._kube.create(self._path, made)

    def _add(self, line: Line) -> None:
        self._lines[line.serial] = line
        self._by_identity[line.identity].add(line.serial)


def _finish(entries: Iterable[Waiting], error: Exception | None) -> None:
    for _, done in entries:
        if done.done():  # its caller left
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


def _seen(done: asyncio.Future[None]) -> None:
    """Nobody waits for this one; its failure is in the log."""
    if not done.cancelled():
        done.exception()
