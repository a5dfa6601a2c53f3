"""Container logs: lines, streams, choices, following, rotation."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pocketkube.node import logs
from pocketkube.node.logs import ContainerLog

pytestmark = pytest.mark.behaviour("H1")


def collected(path: Path, *pieces: bytes) -> list[bytes]:
    """Write pieces to a log's standard output; the file's lines."""

    async def scenario() -> None:
        log = ContainerLog(path)
        output, errors = log.streams()
        os.close(errors)
        for piece in pieces:
            os.write(output, piece)
        os.close(output)
        await log.ended()
        log.close()

    asyncio.run(scenario())
    return path.read_bytes().splitlines()


def test_a_line_has_time_stream_and_tag(tmp_path: Path) -> None:
    (line,) = collected(tmp_path / "0.log", b"hel", b"lo\n")
    time, stream, tag, text = line.split(b" ", 3)
    assert (stream, tag, text) == (b"stdout", b"F", b"hello")
    assert time.startswith(b"20")
    assert time.endswith(b"Z")


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    assert [line.split(b" ", 3)[3] for line in collected(tmp_path / "0.log", b"a\n\nb")] == [b"a", b"", b"b"]


def test_a_very_long_line_comes_in_parts_and_is_shown_whole(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    collected(path, b"x" * 50_000, b"end\n")
    content, _offset = logs.read(path)
    assert content == b"x" * 50_000 + b"end\n"


def test_tail_and_times(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    collected(path, b"1\n2\n3\n")
    assert logs.read(path, tail=2)[0] == b"2\n3\n"
    assert logs.read(path, tail=0)[0] == b""
    assert logs.read(path, since_seconds=60)[0] == b"1\n2\n3\n"
    assert logs.read(path, since_seconds=0)[0] == b""
    assert logs.read(path, tail=1, timestamps=True)[0].endswith(b"Z 3\n")


def test_a_follower_sees_everything_across_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_ROTATE_AT", 2000)

    async def scenario() -> bytes:
        log = ContainerLog(tmp_path / "0.log")
        output, errors = log.streams()
        os.close(errors)
        seen = b""
        following = log.follow(timestamps=False, after=0)
        for number in range(200):
            os.write(output, b"%d\n" % number)
            seen += await anext(following)
        os.close(output)
        async for more in following:
            seen += more
        log.close()
        return seen

    assert asyncio.run(scenario()).split() == [b"%d" % number for number in range(200)]
    assert (tmp_path / "0.log.old").exists()
