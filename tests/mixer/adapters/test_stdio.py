"""O2: what adapter stdio writes: levels, forms, files, and files that rotate."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mesh.mixer.adapters.stdio import Stdio
from mesh.rules.adapter import Instance
from tests.loops import run
from tests.mixer.adapters.rig import HANDLER, started
from tests.mixer.tracing.rig import counted

pytestmark = pytest.mark.behaviour("O2", "O4")

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def entry(severity: str = "info", **variables: Any) -> Instance:
    values = {"timestamp": NOON, "severity": severity, "variables": variables}
    return Instance("seen.instance.weather", "logentry", values)


@asynccontextmanager
async def writing(
    folder: Path, registry: CollectorRegistry | None = None, now: datetime = NOON, **params: Any
) -> AsyncIterator[Stdio]:
    """A handler; when the block is left all has been written."""
    async with started(Stdio, now.timestamp, registry, folder, **params) as adapter:
        yield adapter


def written(folder: Path, *entries: Instance, **params: Any) -> list[str]:
    """The lines of a file after some entries."""

    async def work() -> None:
        async with writing(folder, **{"logStream": "FILE", "outputPath": "mixer.log", **params}) as adapter:
            adapter.report(entries)

    run(work())
    return (folder / "mixer.log").read_text().splitlines()


def test_a_line_of_json_for_each_entry(tmp_path: Path) -> None:
    first, second = written(
        tmp_path, entry(user="ann", took=timedelta(milliseconds=3)), entry("ERROR", ü="\n")
    )
    assert json.loads(first) == {
        "level": "info", "time": "2026-01-02T12:00:00Z", "instance": "seen.instance.weather",
        "user": "ann", "took": "3ms",
    }  # fmt: skip
    assert json.loads(second)["level"] == "error"
    assert json.loads(second)["ü"] == "\n"


def test_a_line_of_text(tmp_path: Path) -> None:
    (line,) = written(tmp_path, entry("warning", user="ann"), outputAsJson=False)
    assert line == '2026-01-02T12:00:00Z\twarn\tseen.instance.weather\t{"user": "ann"}'


def test_severities_become_levels_and_low_ones_are_left_out(tmp_path: Path) -> None:
    entries = [entry(each) for each in ("info", "warning", "loud", "silent", "unknown")]
    levels = {"loud": "ERROR", "silent": "INFO"}
    lines = written(tmp_path, *entries, severityLevels=levels, outputLevel="WARNING")
    assert [json.loads(line)["level"] for line in lines] == ["warn", "error"]


def test_metrics_have_a_level_of_their_own(tmp_path: Path) -> None:
    metric = Instance("m.instance.weather", "metric", {"value": 3, "dimensions": {"path": "/"}})
    (line,) = written(tmp_path, metric, metricLevel="ERROR")
    found = json.loads(line)
    assert (found["level"], found["value"], found["path"]) == ("error", 3, "/")


@pytest.mark.parametrize("stream", ["STDOUT", "STDERR"])
def test_the_programs_own_streams(tmp_path: Path, stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        async with writing(tmp_path, logStream=stream) as adapter:
            adapter.report([entry(number=each) for each in range(3)])

    run(work())
    out, err = capsys.readouterr()
    lines = (out if stream == "STDOUT" else err).splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2]


def test_a_file_rotates_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    big = [entry(number=each, text="x" * 300_000) for each in range(16)]
    old = tmp_path / "mixer.log.7"
    old.write_text("of another time\n")
    os.utime(old, ((NOON - timedelta(days=31)).timestamp(),) * 2)
    rotating: dict[str, Any] = {"maxMegabytesBeforeRotation": 1, "maxRotatedFiles": 3}

    async def work() -> None:
        async with writing(tmp_path, logStream="ROTATED_FILE", outputPath="mixer.log", **rotating) as adapter:
            adapter.report(big)

    run(work())
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["mixer.log", "mixer.log.1", "mixer.log.2", "mixer.log.3"]
    kept = [tmp_path / f"mixer.log.{each}" for each in (3, 2, 1)] + [tmp_path / "mixer.log"]
    numbers = [json.loads(line)["number"] for file in kept for line in file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 16)), "the last ones, in order"
    assert all(file.stat().st_size <= 1024 * 1024 for file in kept)


def test_rotated_files_stay_as_long_as_they_may(tmp_path: Path) -> None:
    for number, days in ((1, 1), (2, 8)):
        file = tmp_path / f"mixer.log.{number}"
        file.write_text("before\n")
        os.utime(file, ((NOON - timedelta(days=days)).timestamp(),) * 2)

    async def work(days: int) -> None:
        where: dict[str, Any] = {"logStream": "ROTATED_FILE", "outputPath": "mixer.log"}
        async with writing(tmp_path, **where, maxDaysBeforeRotation=days):
            pass

    for days, left in ((0, ["mixer.log", "mixer.log.1", "mixer.log.2"]), (7, ["mixer.log", "mixer.log.1"])):
        run(work(days))
        assert sorted(each.name for each in tmp_path.iterdir()) == left


def test_files_of_others_beside_it_stay(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("mixer.log.gz", "mixer.log.1.bak", "other.log.1")]
    for file in others:
        file.write_text("not ours\n")
        os.utime(file, (0, 0))
    written(tmp_path, entry(), logStream="ROTATED_FILE")
    assert all(file.exists() for file in others)


def test_a_rotated_file_that_cannot_be_removed_loses_no_line(tmp_path: Path) -> None:
    stuck = tmp_path / "mixer.log.9"
    stuck.mkdir()
    os.utime(stuck, (0, 0))
    (line,) = written(tmp_path, entry(user="ann"), logStream="ROTATED_FILE")
    assert json.loads(line)["user"] == "ann"


def test_a_file_that_cannot_be_had_is_told_at_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with writing(tmp_path, logStream="FILE", outputPath="missing/mixer.log"):
            raise AssertionError("it started")

    with pytest.raises(FileNotFoundError, match=r"missing/mixer\.log"):
        run(work())


def test_a_full_disk_loses_and_counts_what_was_not_written() -> None:
    registry = CollectorRegistry()

    async def work() -> None:
        async with writing(Path("/dev"), registry, logStream="FILE", outputPath="full") as adapter:
            adapter.report([entry(number=each) for each in range(5)])

    run(work())
    assert counted(registry, "mixer_export_lost_total", handler=HANDLER, reason="refused") == 5
    assert counted(registry, "mixer_export_sent_total", handler=HANDLER) == 0
