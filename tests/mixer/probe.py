"""An adapter of another package: it answers as its parameters say, and tells what it was asked.

Registered as any package does it: by an entry point in the metadata of a distribution on the path.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mesh.api.base import Model
from mesh.rules.adapter import Adapter, CheckResult, Code, Instance, QuotaResult
from mesh.rules.registry import GROUP, adapters

TEMPLATES = frozenset({"checknothing", "listentry", "quota", "reportnothing", "metric"})


class Broken(Exception):
    """What the probe fails with."""


class ProbeParams(Model):
    """`code`, `message`, `seconds`, `uses`, `output` are its answer; the rest are ways to fail."""

    code: int = 0
    message: str = ""
    seconds: float = 0.0
    uses: int = 2**31 - 1
    output: dict[str, str] = Field(default_factory=dict)
    limit: int = 0
    refuses: tuple[str, ...] = ()
    retry_after: float = 0.0
    start: str = ""
    raises: str = ""
    hangs: bool = False
    works: float = 0.0


class Probe(Adapter[ProbeParams]):
    """Counts what happens to it, in `Probe.all`, by handler."""

    name = "probe"
    templates = TEMPLATES
    Params = ProbeParams
    all: ClassVar[list["Probe"]] = []
    healed: ClassVar[bool] = False
    blocked: ClassVar[asyncio.Event | None] = None

    async def start(self) -> None:
        if self.params.start and not Probe.healed:
            raise Broken(self.params.start)
        self.started, self.closed, self.asked = True, False, 0
        self.reported: list[Instance] = []
        self.taken: dict[str, int] = {}
        Probe.all.append(self)

    async def close(self) -> None:
        self.closed = True

    async def check(self, instance: Instance) -> CheckResult:
        self.asked += 1
        if self.params.raises:
            raise Broken(self.params.raises)
        time.sleep(self.params.works)  # noqa: ASYNC251 - nothing else goes on meanwhile
        if self.params.hangs:
            await (Probe.blocked or asyncio.Event()).wait()
        output = {**self.params.output, **{key: str(value) for key, value in instance.values.items()}}
        given = self.params
        if instance.values.get("value") in given.refuses:
            return CheckResult(Code.PERMISSION_DENIED, "refused", given.seconds, given.uses)
        return CheckResult(Code(given.code), given.message, given.seconds, given.uses, output)

    async def quota(self, instance: Instance, amount: int, *, best_effort: bool, dedup: str) -> QuotaResult:
        self.asked += 1
        self.taken[dedup] = self.taken.get(dedup, 0) + amount
        if sum(self.taken.values()) > self.params.limit:
            return QuotaResult(0, retry_after=self.params.retry_after)
        return QuotaResult(amount, self.params.seconds)

    def report(self, instances: Sequence[Instance]) -> None:
        if self.params.raises:
            raise Broken(self.params.raises)
        self.reported += instances


def probes(handler: str) -> list[Probe]:
    """The probes that ran for a handler, the latest last."""
    return [each for each in Probe.all if each.environment.handler == handler]


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install the package with the probe, and take it off again."""
    info = folder / "probe-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nprobe = {__name__}:Probe\n")
    sys.path.insert(0, str(folder))
    adapters.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        adapters.cache_clear()
        Probe.all.clear()
