"""`stdio`: log entries and metrics as lines: to standard output or error, to a file, to one that rotates.

Lines are written by a thread from a bounded queue, so that a full disk or a pipe that nobody reads slows
nothing. A relative `outputPath` is below the program's folder for files; where else it may write is up to its
container. Source: Istio 1.6's reference of the adapter.
"""

import asyncio
import glob
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from logging import LogRecord, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mesh.api.base import Model
from mesh.api.checks import Fault, check
from mesh.mixer.adapters.batches import Batches, Limits, Lost, export_metrics
from mesh.mixer.adapters.values import plain
from mesh.rules.adapter import Adapter, Environment, Instance

Level = Literal["INFO", "WARNING", "ERROR"]
LEVELS: Mapping[str, int] = {"INFO": 0, "WARNING": 1, "ERROR": 2}
WORDS: Mapping[str, str] = {"INFO": "info", "WARNING": "warn", "ERROR": "error"}
SEVERITIES: Mapping[str, Level] = {
    **dict.fromkeys(("INFORMATIONAL", "informational", "INFO", "info", "Default", "default"), "INFO"),
    **dict.fromkeys(("WARNING", "warning", "WARN", "warn"), "WARNING"),
    **dict.fromkeys(("ERROR", "error", "ERR", "err", "FATAL", "fatal"), "ERROR"),
}
FILES = ("FILE", "ROTATED_FILE")
MEGABYTE = 1024 * 1024
DAY = 86_400.0  # seconds


class StdioParams(Model):
    """Where lines go, which ones, and how they look.

    Files that were rotated go after `maxDaysBeforeRotation`, or when there are more than `maxRotatedFiles`;
    0 days keep them.
    """

    log_stream: Literal["STDOUT", "STDERR", "FILE", "ROTATED_FILE"] = "STDOUT"
    severity_levels: dict[str, Level] = Field(default_factory=dict)
    metric_level: Level = "INFO"
    output_level: Level = "INFO"
    output_as_json: bool = True
    output_path: str = ""
    max_megabytes_before_rotation: Annotated[int, Field(ge=1)] = 100
    max_days_before_rotation: Annotated[int, Field(ge=0)] = 30
    max_rotated_files: Annotated[int, Field(ge=0)] = 1000
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000

    @check
    def _path(self) -> Iterator[Fault]:
        if self.log_stream in FILES and not self.output_path:
            yield Fault("outputPath", f"is missing for {self.log_stream}", "name one, like /tmp/mixer.log")


class Stdio(Adapter[StdioParams]):
    """Makes lines; a thread writes them."""

    name: ClassVar[str] = "stdio"
    templates: ClassVar[frozenset[str]] = frozenset({"logentry", "metric"})
    Params = StdioParams

    def __init__(self, params: StdioParams, environment: Environment) -> None:
        super().__init__(params, environment)
        limits = Limits(params.queue_size, 5000, 0.2)
        self._batches: Batches[str] = Batches(
            environment.handler, self._send, export_metrics(environment.metrics), limits
        )
        self._file: RotatingFileHandler | None = None

    async def start(self) -> None:
        """Open the file, if there is one; raises OSError if it cannot be."""
        if self.params.log_stream in FILES:
            rotates = self.params.log_stream == "ROTATED_FILE"
            self._file = RotatingFileHandler(
                self.environment.folder / self.params.output_path,
                maxBytes=self.params.max_megabytes_before_rotation * MEGABYTE if rotates else 0,
                backupCount=max(self.params.max_rotated_files, 1) if rotates else 0,
                encoding="utf-8",
            )
            self._forget_old()
        self.environment.background(self._batches.run(), "writing")

    async def close(self) -> None:
        """Write what waits."""
        await self._batches.close()
        if self._file is not None:
            with suppress(OSError):  # a full disk was counted line by line
                self._file.close()

    def report(self, instances: Sequence[Instance]) -> None:
        """Queue the lines of those that matter enough."""
        lines = (self._line(each) for each in instances)
        self._batches.put(line for line in lines if line)

    def _line(self, each: Instance) -> str:
        level = self._level(each)
        if LEVELS[level] < LEVELS[self.params.output_level]:
            return ""
        when = each.values.get("timestamp") or datetime.fromtimestamp(self.environment.clock(), UTC)
        fields = {"level": WORDS[level], "time": plain(when), "instance": each.name, **variables(each)}
        if self.params.output_as_json:
            return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        rest = json.dumps(variables(each), ensure_ascii=False)
        return f"{fields['time']}\t{fields['level']}\t{each.name}\t{rest}"

    def _level(self, each: Instance) -> Level:
        if each.template == "metric":
            return self.params.metric_level
        severity = each.values.get("severity", "")
        return self.params.severity_levels.get(severity) or SEVERITIES.get(severity, "INFO")

    async def _send(self, lines: Sequence[str]) -> None:
        try:
            await asyncio.to_thread(self._write, lines)
        except OSError as error:
            raise Lost(f"cannot write: {error}") from None

    def _write(self, lines: Sequence[str]) -> None:
        if self._file is None:
            stream = sys.stderr if self.params.log_stream == "STDERR" else sys.stdout
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
            return
        for number, line in enumerate(lines):
            try:
                if write(self._file, makeLogRecord({"msg": line})):
                    self._forget_old()
            except OSError as error:
                raise Lost(f"cannot write: {error}", count=len(lines) - number) from None

    def _forget_old(self) -> None:
        """Remove rotated files that are too old. One that cannot be removed stays: the lines matter more."""
        days = self.params.max_days_before_rotation
        if self._file is None or self.params.log_stream != "ROTATED_FILE" or not days:
            return
        file = Path(self._file.baseFilename)
        for each in file.parent.glob(f"{glob.escape(file.name)}.*"):
            numbered = each.name.removeprefix(f"{file.name}.").isdecimal()  # others' files are not ours
            with suppress(OSError):
                if numbered and each.stat().st_mtime < self.environment.clock() - days * DAY:
                    each.unlink()


def write(file: RotatingFileHandler, record: LogRecord) -> bool:
    """Write a line, in a new file if it is time for one; whether it was. Errors go to the caller."""
    rotated = bool(file.shouldRollover(record))
    if rotated:
        file.doRollover()
    if file.stream is None:
        file.stream = file._open()
    file.stream.write(file.format(record) + file.terminator)
    file.flush()
    return rotated


def variables(each: Instance) -> dict[str, Any]:
    """What a line tells beside level, time and name."""
    if each.template == "metric":
        found = {"value": each.values.get("value"), **(each.values.get("dimensions") or {})}
    else:
        found = dict(each.values.get("variables") or {})
    return {name: plain(value) for name, value in found.items()}
